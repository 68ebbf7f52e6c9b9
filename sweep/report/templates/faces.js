// Which misread images are shown: the worst, or those of one pair of classes, chosen in the list or in a matrix.
(() => {
  const list = document.getElementById("faces");
  if (!list) return;
  const choice = document.getElementById("faces-pair"), told = document.getElementById("faces-told");
  const faces = [...list.children].map(item => (
    {item, worst: !item.hidden, is: item.dataset.true, read: JSON.parse(item.dataset.read),
     words: item.querySelector("span"), usual: item.querySelector("span").textContent}));

  const show = () => {
    const [is, as] = choice.value.split(" ");
    const chosen = faces.filter(face => as ? face.is === is && as in face.read : face.worst);
    if (as) chosen.sort((one, other) => other.read[as] - one.read[as]);
    for (const face of faces) {
      face.item.hidden = !chosen.includes(face);
      face.words.textContent = as && as in face.read ? `${Math.round(100 * face.read[as])} % read it so` : face.usual;
    }
    list.append(...(as ? chosen : faces).map(face => face.item));
    told.textContent = `Shown: ${choice.selectedOptions[0].textContent}`;
  };

  const choose = (is, as) => {
    choice.value = `${is} ${as}`;
    const there = choice.selectedIndex >= 0;
    if (!there) choice.value = "";
    show();
    if (!there) told.textContent = "No image of that cell is in this page; tables/misread.csv names all that were misread.";
    document.getElementById("misread").scrollIntoView();
    choice.focus({preventScroll: true});
  };

  document.getElementById("faces-choice").hidden = false;
  choice.addEventListener("change", show);
  for (const plot of document.querySelectorAll('.plot[id^="figure-confusion-"]')) {
    // A figure can be clicked once it is drawn, and forgets what it was told when it is drawn anew.
    plot.addEventListener("pointerenter", () => {
      if (!plot.on) return;
      plot.removeAllListeners("plotly_click");
      plot.on("plotly_click", event => choose(event.points[0].y, event.points[0].x));
    });
  }
})();
