// Chapter 08: the loss under three recipes and without any, for γ_j = j^−exponent.
explorer("faster-ssl", ({ panel, color, dark }) => {
  const { source, linspace, words } = explorer;
  const GOAL = 0.01;
  const times = new Bokeh.Range1d(), losses = new Bokeh.Range1d();
  const plot = panel({
    height: 440, x_range: times, y_range: losses, x_axis_type: "log",
    x_axis_label: "time  t of the gradient flow", y_axis_label: "loss  ‖C − I‖²",
  });
  const colors = { plain: color("ink"), left: "#0072B2", right: "#D55E00", "log-det": "#009E73" };
  if (dark) Object.assign(colors, { left: "#56B4E9", right: "#FF9A4D", "log-det": "#3DDBA5" });
  const curves = Object.entries(colors).map(([name, line_color], k) => {
    const curve = source("t", "loss"), line_dash = { value: [[7, 4], [12, 3], [3, 3], [9, 3, 2, 3]][k] };
    const xy = { x: { field: "t" }, y: { field: "loss" } };
    plot.line({ ...xy, source: curve, line_color, line_dash, line_width: 2.4, legend_label: name });
    return curve;
  });
  plot.legend.setv({
    location: "bottom_left", background_fill_color: color("page"), background_fill_alpha: 0.8, border_line_color: null,
    label_text_color: color("ink"), label_text_font_size: "14px", glyph_width: 44,
  });

  return ({ exponent, dim, init_scale, eps_left, eps_right }) => {
    const gamma = linspace(1, dim, dim).map((j) => j ** -exponent), s_0 = gamma.map(() => init_scale);
    const plain = stepwise.linear_barlow_twins({ gamma, s_0 });
    const recipes = [
      plain,
      preconditioned.left(gamma, s_0, eps_left),
      stepwise.linear_barlow_twins(preconditioned.whiten(gamma, s_0, eps_right)),
      preconditioned.log_det(gamma, s_0),
    ];
    const longest = plain.step_times[dim - 1] + 10 / (8 * gamma[dim - 1]);
    const t = linspace(Math.log(0.05), Math.log(longest), 200).map(Math.exp);
    recipes.forEach(({ loss }, k) => (curves[k].data = { t, loss: t.map(loss) }));
    times.setv({ start: t[0], end: longest });
    losses.setv({ start: -0.04 * dim, end: 1.06 * dim });
    const needed = recipes.map(({ loss }) => preconditioned.time_to(loss, GOAL, longest));
    const [left, right, log_det] = needed.slice(1).map((time) => words(Number((needed[0] / time).toPrecision(2))));
    const faster = `left ${left}, right ${right}, log-det ${log_det} times as fast`;
    return `To a loss of ${GOAL}: t = ${words(needed[0])} when plain; ${faster}.`;
  };
});
