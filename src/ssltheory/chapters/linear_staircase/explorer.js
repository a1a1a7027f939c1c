// Chapter 01: loss and eigenvalues over time, for γ_j = j^−exponent.
explorer("linear-staircase", ({ panel, color, dark }) => {
  const { source, linspace, words } = explorer;
  const theory = { line_color: color("ink"), line_dash: { value: [7, 4] }, line_width: 2 };
  const mark = { line_color: color("muted"), line_dash: { value: [1, 4] }, line_width: 1.5 };
  const times = new Bokeh.Range1d(), steps = new Bokeh.Range1d(), losses = new Bokeh.Range1d();
  const above = panel({
    height: 220, x_range: steps, y_range: losses, x_axis_type: "log", x_axis_location: "above",
    x_axis_label: "step of gradient descent, t / learning rate", y_axis_label: "loss  ‖C − I‖²",
  });
  const below = panel({
    height: 220, x_range: times, y_range: new Bokeh.Range1d({ start: -0.05, end: 1.1 }), x_axis_type: "log",
    x_axis_label: "time  t = learning rate × step", y_axis_label: "eigenvalues of C",
  });
  const loss = source("step", "loss"), modes = source("t", "p", "color"), taken = source("t", "step");
  above.vspan({ field: "step" }, { source: taken, ...mark });
  below.vspan({ field: "t" }, { source: taken, ...mark });
  above.line({ x: { field: "step" }, y: { field: "loss" }, source: loss, ...theory });
  const xs_ys = { xs: { field: "t" }, ys: { field: "p" } };
  below.multi_line({ ...xs_ys, source: modes, ...theory, line_color: { field: "color" } });

  const [dark_end, light_end] = dark ? [0.45, 1] : [0.2, 0.92];
  const ramp = (n) => linspace(dark_end, light_end, n).map((x) => Bokeh.Palettes.Viridis256[Math.round(255 * x)]);

  return ({ exponent, dim, init_scale, lr_fraction }) => {
    const gamma = linspace(1, dim, dim).map((j) => j ** -exponent);
    const lr = lr_fraction / (4 * gamma[0]);
    const closed_form = stepwise.linear_barlow_twins({ gamma, s_0: gamma.map(() => init_scale), lr });
    const tau = closed_form.step_times, last = dim - 1;
    const settled = tau[last] + 10 / (8 * closed_form.growth[last]);
    const t = linspace(Math.log(tau[0] / 2), Math.log(settled), 500).map(Math.exp);
    const p = t.map(closed_form.eigenvalues);
    loss.data = { step: t.map((t) => t / lr), loss: t.map(closed_form.loss) };
    modes.data = { t: gamma.map(() => t), p: gamma.map((_, j) => p.map((row) => row[j])), color: ramp(dim) };
    taken.data = { t: tau, step: tau.map((t) => t / lr) };
    times.setv({ start: t[0], end: settled });
    steps.setv({ start: t[0] / lr, end: settled / lr });
    losses.setv({ start: -0.04 * dim, end: 1.06 * dim });
    const at = (t) => `t = ${words(t)}, step ${Math.round(t / lr).toLocaleString("en")}`;
    const rest = dim > 1 ? `, the last of ${dim} at ${at(tau[last])}` : "";
    return `The first eigenvalue passes ½ at ${at(tau[0])}${rest}.`;
  };
});
