// The decoupled modes of theory/directpred/modes.py, under its names: p is an eigenvalue of the predictor, s of the
// embedding's moment F, t learning rate × step. Every `given` holds weight_decay (η), noise (σ²), tau and alpha_p.
const directpred = (() => {
  function fixed_points({ weight_decay, noise, tau, alpha_p }) {
    const root = Math.sqrt(tau ** 2 - 4 * weight_decay * (1 + noise)); // NaN where everything collapses
    const p_minus = (tau - root) / (2 * (1 + noise)), p_plus = (tau + root) / (2 * (1 + noise));
    return { p_minus, p_plus, s_plus: p_plus ** 2 / alpha_p };
  }

  const collapse_threshold = ({ noise, tau }) => tau ** 2 / (4 * (1 + noise));

  function mode_velocity(p, s, { weight_decay, noise, tau, alpha_p }) {
    const gap = tau - (1 + noise) * p;
    return [alpha_p * s * gap - weight_decay * p, 2 * (p * gap - weight_decay) * s];
  }

  const mode_integral = (p, s, t, { weight_decay, alpha_p }) =>
    Math.exp(2 * weight_decay * t) * (s - p ** 2 / alpha_p);

  // Δ: s grows at the rate 2Δ.
  const growth = (p, { weight_decay, noise, tau }) => p * (tau - (1 + noise) * p) - weight_decay;

  // The way of a mode as one number: p where c >= 0, else log s, which no rounding takes below zero.
  function way(p, s, given) {
    const { weight_decay, alpha_p } = given, c = mode_integral(p, s, 0, given);
    const above = (t) => c * Math.exp(-2 * weight_decay * t); // s − p²/α_p
    if (c >= 0) {
      const point = (t, p) => [p, p ** 2 / alpha_p + above(t)];
      return { start: p, point, velocity: (t, p) => mode_velocity(...point(t, p), given)[0] };
    }
    const point = (t, y) => [Math.sign(p) * Math.sqrt(alpha_p * (Math.exp(y) - above(t))), Math.exp(y)];
    return { start: Math.log(s), point, velocity: (t, y) => 2 * growth(point(t, y)[0], given) };
  }

  // [p, s] at rising times.
  function mode_flow(p, s, times, given, rtol = 1e-11) {
    const { start, point, velocity } = way(p, s, given);
    let now = 0, y = start;
    return times.map((t) => {
      for (const [, next] of march(velocity, now, y, t, rtol)) y = next;
      now = t;
      return point(t, y);
    });
  }

  function end_state(p, s, { noise, tau, alpha_p }) {
    const goal = tau / (1 + noise), c = s - p ** 2 / alpha_p;
    const radius = Math.sqrt(alpha_p * Math.abs(c));
    const alive = c > 0 || (p > 0 && goal >= radius);
    return alive ? [goal, goal ** 2 / alpha_p + c] : [Math.sign(p) * radius, 0];
  }

  function survives(p, s, given) {
    const { p_minus } = fixed_points(given);
    if (Number.isNaN(p_minus)) return false;
    if (given.weight_decay === 0) return end_state(p, s, given)[1] > 0;
    return mode_flow(p, s, [10 / given.weight_decay], given, 1e-7)[0][0] > p_minus;
  }

  // The stable line of the saddle, from above the parabola to below it, as far as `inside(p, s)`: [[p, s], ...]. Back
  // in time c grows, and next to the saddle p − p_− = −c B / (λ + 2η), with B = α_p η / p_− and λ = η − (1+σ²) p_−².
  function basin_border(given, inside) {
    const { weight_decay, noise, tau, alpha_p } = given, { p_minus } = fixed_points(given);
    if (Number.isNaN(p_minus)) return [];
    if (weight_decay === 0) return border_without_decay(given, inside);
    const tilt = -(alpha_p * weight_decay) / p_minus / (3 * weight_decay - (1 + noise) * p_minus ** 2);
    const branch = (c) => {
      const p = p_minus + tilt * c, { start, point, velocity } = way(p, p ** 2 / alpha_p + c, given);
      const line = [];
      for (const [t, y] of march((t, y) => -velocity(-t, y), 0, start, 30 / weight_decay, 1e-9)) {
        line.push(point(-t, y));
        if (!inside(...line.at(-1))) break;
      }
      return line;
    };
    return [...branch(1e-9).reverse(), [p_minus, p_minus ** 2 / alpha_p], ...branch(-1e-9)];
  }

  // c stays what it was: s = p²/α_p where p < 0, and c = −p*²/α_p where p > p* = τ / (1+σ²).
  function border_without_decay({ noise, tau, alpha_p }, inside) {
    const goal = tau / (1 + noise), line = [[0, 0], [goal, 0]];
    for (let p = 0; inside(p, p ** 2 / alpha_p); p -= 0.005) line.unshift([p, p ** 2 / alpha_p]);
    for (let p = goal; inside(p, (p ** 2 - goal ** 2) / alpha_p); p += 0.005)
      line.push([p, (p ** 2 - goal ** 2) / alpha_p]);
    return line;
  }

  // dy/dt = velocity(t, y) from t to end, or to where y runs away: every accepted [t, y] of Dormand and Prince's pair
  // of orders 5 and 4.
  const NODES = [0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1];
  const STAGES = [
    [], [1 / 5], [3 / 40, 9 / 40], [44 / 45, -56 / 15, 32 / 9],
    [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
    [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
    [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
  ];
  const ERROR = [71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40];
  const mix = (weights, slopes) => weights.reduce((sum, w, i) => sum + w * slopes[i], 0);

  function* march(velocity, t, y, end, rtol) {
    let step = Math.min(end - t, 0.1);
    while (t < end && t + step > t) {
      step = Math.min(step, end - t);
      const slopes = [];
      for (const [i, row] of STAGES.entries())
        slopes.push(velocity(t + NODES[i] * step, y + step * mix(row, slopes)));
      const error = Math.abs(step * mix(ERROR, slopes)) / (rtol * (0.01 + Math.abs(y)));
      if (error <= 1) {
        y += step * mix(STAGES[6], slopes);
        t = end - t <= step ? end : t + step;
        yield [t, y];
      }
      step *= Math.min(5, Math.max(0.2, 0.9 * (error ** -0.2 || 0))); // no number: far too long a step
    }
  }

  return {
    fixed_points, collapse_threshold, mode_velocity, mode_integral, growth, mode_flow, end_state, survives,
    basin_border,
  };
})();
