// Which misread images are shown: the worst, or those of one mistake, of all configurations or of one; both are chosen
// in lists or by a click on a cell of a confusion matrix.
(() => {
  const list = document.getElementById("faces");
  if (!list) return;
  const byId = id => document.getElementById(id);
  const choice = byId("faces-pair"), by = byId("faces-by"), told = byId("faces-told"), back = byId("faces-back");
  const seeds = JSON.parse(list.dataset.seeds);
  const sum = numbers => numbers.reduce((all, number) => all + number, 0);
  const faces = [...list.children].map(item => (
    {item, worst: !item.hidden, is: item.dataset.true,
     mistakes: item.dataset.mistakes.split(" ").map(mistake => mistake.split(",")),
     words: item.querySelector("span"), usual: item.querySelector("span").textContent}));
  const most = faces.filter(face => face.worst).length;

  // Of the chosen configuration's models, or of all, how many read a face as a class, or as any wrong one.
  const mistakes = (face, as) => sum(face.mistakes
    .filter(([configuration, read]) => (!by.value || configuration === by.value) && (!as || read === as))
    .map(([, , number]) => Number(number)));

  const show = () => {
    const [is, as] = choice.value.split(" "), models = by.value ? seeds[by.value] : sum(seeds);
    const usual = !as && !by.value;
    let chosen = usual ? faces.filter(face => face.worst)
      : faces.filter(face => (!as || face.is === is) && mistakes(face, as))
             .sort((one, other) => mistakes(other, as) - mistakes(one, as));
    if (!as) chosen = chosen.slice(0, most);
    for (const face of faces) {
      face.item.hidden = !chosen.includes(face);
      const number = mistakes(face, as);
      face.words.textContent = usual ? face.usual
        : `${by.value ? `${number} of ${models} seeds` : `${Math.round(100 * number / models)} %`} ${as ? "read it so" : "wrong"}`;
    }
    list.append(...(usual ? faces : chosen).map(face => face.item));
    const what = as ? choice.selectedOptions[0].textContent : "those misread most often";
    const who = `by ${by.selectedOptions[0].textContent}`;
    told.textContent = chosen.length ? `Shown: ${what} ${who}, ${chosen.length} of the images in this page.`
      : `No image in this page: ${what} ${who}. tables/misread.csv names all that were misread.`;
  };

  const choose = (is, as, plot) => {
    const {model, strategy} = report.read(plot);
    by.value = [...by.options].find(({dataset: of}) => of.model === model && of.strategy === strategy).value;
    choice.value = `${is} ${as}`;
    const there = choice.selectedIndex >= 0;
    if (!there) choice.value = "";
    show();
    if (!there) told.textContent = "No image of that cell is in this page; tables/misread.csv names all that were misread.";
    back.href = `#${plot.id}`;
    back.hidden = false;
    byId("misread").scrollIntoView();
    choice.focus({preventScroll: true});
  };

  byId("faces-choice").hidden = false;
  for (const each of [choice, by]) each.addEventListener("change", show);
  for (const plot of document.querySelectorAll('.plot[id^="figure-confusion-"]')) {
    // A figure can be clicked once it is drawn, and forgets what it was told when it is drawn anew.
    plot.addEventListener("pointerenter", () => {
      if (!plot.on) return;
      plot.removeAllListeners("plotly_click");
      // What is read rightly has no faces to show, and neither has what never happened.
      plot.on("plotly_click", ({points: [{x, y, z}]}) => { if (x !== y && z) choose(y, x, plot); });
    });
  }
})();
