// The table of contents marks the section that is read.
(() => {
  const list = document.querySelector("nav ul"), links = [...list.querySelectorAll('a[href^="#"]')];
  const sections = links.map(link => [link, document.querySelector(`section${link.hash}`)]).filter(([, section]) => section);

  const follow = () => {
    const end = innerHeight + scrollY >= document.documentElement.scrollHeight - 2;
    const reached = sections.filter(([, section]) => end || section.getBoundingClientRect().top < innerHeight / 3);
    const here = reached.at(-1)?.[0];
    for (const [link] of sections) {
      if (link !== here) link.removeAttribute("aria-current");
      else if (!link.hasAttribute("aria-current")) {
        link.setAttribute("aria-current", "true");
        list.scrollLeft = link.offsetLeft - list.clientWidth / 3;
      }
    }
  };

  let waiting = false;
  const soon = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; follow(); });
  };
  addEventListener("scroll", soon, {passive: true});
  addEventListener("resize", soon);
  follow();
})();
