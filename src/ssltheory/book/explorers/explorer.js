// What the explorers share: native sliders, what they say, and plots by BokehJS in the colours of the page.
// `build(kit)` makes the plots and returns draw(values), which draws anew and returns a sentence.
function explorer(name, build) {
  const form = document.getElementById(`explorer-${name}`), root = document.documentElement;
  const box = form.querySelector(".explorer-plot");
  const sliders = [...form.querySelectorAll("input[type=range]")];
  let draw, theme, views = [], drawn = Promise.resolve();

  function update() {
    const values = {};
    for (const slider of sliders) {
      const value = "log" in slider.dataset ? 10 ** slider.value : Number(slider.value);
      values[slider.name] = value;
      slider.nextElementSibling.value = explorer.words(value);
      slider.setAttribute("aria-valuetext", explorer.words(value));
    }
    form.elements.says.value = draw(values);
  }

  function set(values) {
    for (const [name, value] of Object.entries(values)) form.elements[name].value = value;
    update();
  }

  async function rebuild() {
    if (theme === root.dataset.theme) return;
    theme = root.dataset.theme;
    const css = getComputedStyle(form), dark = theme === "dark";
    const color = (name) => css.getPropertyValue(`--explorer-${name}`).trim();
    const ink = color("ink"), muted = color("muted"), grid = color("grid");
    const plots = [];
    const panel = (options) => {
      const plot = Bokeh.Plotting.figure({
        sizing_mode: "stretch_width", tools: [], toolbar_location: null, min_border_left: 62, min_border_right: 14,
        background_fill_color: null, border_fill_color: null, outline_line_color: null, ...options,
      });
      for (const axis of plot.axes)
        axis.setv({
          axis_label_text_color: ink, major_label_text_color: ink, axis_line_color: muted, major_tick_line_color: muted,
          minor_tick_line_color: null, axis_label_text_font_style: "normal", axis_label_text_font_size: "14px",
          major_label_text_font_size: "13px", major_label_policy: new Bokeh.NoOverlap(), major_tick_in: 0,
        });
      for (const lines of plot.grids) lines.grid_line_color = grid;
      plots.push(plot);
      return plot;
    };
    draw = build({ panel, color, dark, set, update });
    update();
    for (const view of views) view.remove();
    views = await Bokeh.Plotting.show(plots, box);
    for (const { canvas } of views) if (canvas) canvas.events_el.tabIndex = -1; // the keyboard has the sliders
  }

  async function start() {
    await explorer.library(form.dataset.library.split(" "));
    form.classList.add("live"); // instead of the picture
    form.addEventListener("input", update);
    form.addEventListener("reset", () => setTimeout(update));
    form.addEventListener("submit", (event) => event.preventDefault());
    const follow = () => (drawn = drawn.then(rebuild)); // one after another: the old plot goes when the new one stands
    new MutationObserver(follow).observe(root, { attributeFilter: ["data-theme"] });
    follow();
  }

  const near = new IntersectionObserver(([{ isIntersecting }]) => {
    if (!isIntersecting) return;
    near.disconnect();
    start();
  }, { rootMargin: "600px" });
  near.observe(form.parentElement);
}

// BokehJS weighs more than all else on a page, and is fetched when a reader comes near to what it draws.
explorer.folder = document.currentScript.src;
explorer.library = async (files) => {
  for (const file of files)
    await new Promise((done, fail) => {
      const script = document.createElement("script");
      Object.assign(script, { src: new URL(file, explorer.folder), onload: done, onerror: fail });
      document.head.append(script);
    });
  Bokeh.set_log_level("warn");
};

// Three digits, in words a screen reader reads.
explorer.words = (value) => {
  const [digits, power] = value.toExponential(2).split("e").map(Number);
  if (value === 0 || (power > -4 && power < 6)) return Number(value.toPrecision(3)).toLocaleString("en");
  const raised = String(power).replace(/./g, (sign) => (sign === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[sign]));
  return (digits === 1 ? "" : `${digits} × `) + `10${raised}`;
};

explorer.source = (...columns) =>
  new Bokeh.ColumnDataSource({ data: Object.fromEntries(columns.map((name) => [name, []])) });

explorer.linspace = (first, last, n) =>
  Array.from({ length: n }, (_, i) => first + ((last - first) * i) / Math.max(n - 1, 1));
