// Chapter 04: the plane of (p, s), its fixed points, the basin of collapse, and where one start goes.
explorer("no-collapse", ({ panel, color, set, update }) => {
  const { source, linspace, words } = explorer;
  const [LEFT, RIGHT] = [-0.25, 1.1];
  const ink = color("ink"), muted = color("muted");
  const s_range = new Bokeh.Range1d({ start: 0, end: 1 });
  const plane = panel({
    height: 440, x_range: new Bokeh.Range1d({ start: LEFT, end: RIGHT }), y_range: s_range,
    x_axis_label: "eigenvalue of the predictor  p", y_axis_label: "eigenvalue of the embedding's moment  s",
  });
  const xy = { x: { field: "p" }, y: { field: "s" } };
  const basin = source("p", "s"), streams = source("p", "s"), heads = source("p", "s", "angle");
  const parabola = source("p", "s"), path = source("p", "s"), start = source("p", "s");
  const rests = source("p", "s", "marker", "name", "below");
  plane.patch({ ...xy, source: basin, fill_color: color("basin"), line_color: null });
  plane.multi_line({ xs: xy.x, ys: xy.y, source: streams, line_color: muted, line_width: 0.8 });
  plane.scatter({
    ...xy, source: heads, marker: "triangle", size: 7, angle: { field: "angle" }, fill_color: muted, line_color: null,
  });
  plane.line({ ...xy, source: parabola, line_color: ink, line_dash: { value: [2, 3] }, line_width: 1.3 });
  plane.line({ ...xy, source: path, line_color: ink, line_dash: { value: [7, 4] }, line_width: 2.6 });
  const solid = { fill_color: ink, line_color: ink, line_width: 3 };
  plane.scatter({ ...xy, source: rests, marker: { field: "marker" }, size: 11, ...solid });
  plane.text({
    ...xy, source: rests, text: { field: "name" }, x_offset: 11, y_offset: { field: "below" },
    text_color: ink, text_font_size: "16px",
  });
  plane.scatter({ ...xy, source: start, size: 12, fill_color: color("page"), line_color: ink, line_width: 2 });
  plane.on_event("tap", ({ x, y }) => set({ p_0: x, s_0: y }));
  let size = [600, 360]; // of the frame in pixels, once it is laid out
  plane.properties.inner_width.change.connect(() => {
    size = [plane.inner_width, plane.inner_height];
    update();
  });

  const columns = (points) => ({ p: points.map(([p]) => p), s: points.map(([, s]) => s) });

  // Everything left of the border and under it: all of the plane where there is none.
  function shade(border, top) {
    if (!border.length) return [[LEFT, 0], [LEFT, top], [RIGHT, top], [RIGHT, 0]];
    return [[LEFT, 0], [LEFT, border[0][1]], ...border, [border.at(-1)[0], 0]];
  }

  // Streamlines from the rim of the plane, and an arrow half-way along each as far as it can be seen.
  function flow(given, top) {
    const rim = linspace(LEFT, RIGHT, 13).map((p) => [p, top]);
    for (const s of linspace(0.15, 0.85, 4)) rim.push([LEFT, s * top], [RIGHT, s * top]);
    for (const p of linspace(0.1, RIGHT, 6)) rim.push([p, 0.02 * top]);
    const times = linspace(Math.log(0.02), Math.log(300), 90).map(Math.exp);
    const lines = rim.map(([p, s]) => [[p, s], ...directpred.mode_flow(p, s, times, given, 1e-6)]);
    const across = size[0] / (RIGHT - LEFT), up = size[1] / top;
    const arrows = lines.map((line) => {
      const far = [0];
      line.slice(1).forEach(([p, s], i) => {
        far.push(far[i] + Math.hypot(across * (p - line[i][0]), up * (s - line[i][1])));
      });
      const i = Math.max(far.findIndex((d) => d >= far.at(-1) / 2), 1), [[p_a, s_a], [p, s]] = line.slice(i - 1, i + 1);
      return { p, s, angle: Math.atan2(up * (s - s_a), across * (p - p_a)) - Math.PI / 2 };
    });
    streams.data = { p: lines.map((line) => columns(line).p), s: lines.map((line) => columns(line).s) };
    heads.data = { p: arrows.map((a) => a.p), s: arrows.map((a) => a.s), angle: arrows.map((a) => a.angle) };
  }

  function end(p, s, given, { p_plus, s_plus }) {
    if (given.weight_decay === 0) return directpred.end_state(p, s, given);
    return directpred.survives(p, s, given) ? [p_plus, s_plus] : [0, 0];
  }

  return ({ p_0, s_0, ...given }) => {
    const points = directpred.fixed_points(given), edge = directpred.collapse_threshold(given);
    const top = Math.max(1, 1.15 * (points.s_plus || 0));
    s_range.end = top;
    const inside = (p, s) => p > LEFT && p < RIGHT && s < top;
    basin.data = columns(shade(directpred.basin_border(given, inside), top));
    parabola.data = columns(linspace(LEFT, RIGHT, 120).map((p) => [p, p ** 2 / given.alpha_p]));
    flow(given, top);
    start.data = { p: [p_0], s: [s_0] };
    path.data = columns([[p_0, s_0], ...directpred.mode_flow(p_0, s_0, linspace(0.1, 60, 600), given)]);
    const saddle = [points.p_minus, points.p_minus ** 2 / given.alpha_p];
    const shown = [[0, 0, "circle", "0", -6]];
    if (given.weight_decay > 0 && points.p_plus) shown.push([...saddle, "x", "p₋", -6]);
    if (points.p_plus) shown.push([points.p_plus, points.s_plus, "circle", "p₊", 20]);
    const column = (i) => shown.map((row) => row[i]);
    rests.data = { p: column(0), s: column(1), marker: column(2), name: column(3), below: column(4) };
    const [p, s] = end(p_0, s_0, given, points);
    const fate = s > 0 ? `survives and comes to rest at p = ${words(p)}, s = ${words(s)}` : "collapses: s goes to zero";
    const side = given.weight_decay > edge ? "above: every mode collapses" : "below";
    const start_words = `The start (${words(p_0)}, ${words(s_0)}) ${fate}.`;
    return `${start_words} The threshold of weight decay is ${words(edge)}; η lies ${side}.`;
  };
});
