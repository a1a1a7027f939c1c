// The closed forms of theory/preconditioned.py, under its names: separate modes with dp/dt = c γ p (1 − p) / (p + ε),
// c the speed, from an aligned start of singular values s_0. t is flow time.
const preconditioned = (() => {
  const log_sigmoid = (x) => (x < 0 ? x - Math.log1p(Math.exp(x)) : -Math.log1p(Math.exp(-x)));

  // c γ t = ε log(p / p_0) + (1 + ε) log((1 − p_0) / (1 − p)), solved for p by bisection in x = log(p / (1 − p)).
  function modes(gamma, s_0, eps, speed) {
    const p_0 = gamma.map((g, j) => g * s_0[j] ** 2);
    const eigenvalues = (t) =>
      gamma.map((g, j) => {
        let low = Math.log(p_0[j]) - Math.log1p(-p_0[j]), high = 40; // p = 1 to the last digit
        for (let k = 0; k < 60; k++) {
          const x = (low + high) / 2;
          const grown = log_sigmoid(x) - Math.log(p_0[j]), settled = Math.log1p(-p_0[j]) - log_sigmoid(-x);
          if ((eps * grown + (1 + eps) * settled) / (speed * g) < t) low = x;
          else high = x;
        }
        return 1 / (1 + Math.exp(-low));
      });
    const loss = (t) => eigenvalues(t).reduce((sum, p) => sum + (1 - p) ** 2, 0);
    return { gamma, p_0, eigenvalues, loss };
  }

  const left = (gamma, s_0, eps) => modes(gamma, s_0, eps, 8);
  const log_det = (gamma, s_0) => modes(gamma, s_0, 0, 4);

  // Γ and the start as the right preconditioner sees them, for stepwise.linear_barlow_twins.
  const whiten = (gamma, s_0, eps) => ({
    gamma: gamma.map((g) => g / (g + eps)),
    s_0: s_0.map((s, j) => s * Math.sqrt(gamma[j] + eps)),
  });

  function time_to(loss, goal, longest) {
    let low = 0, high = longest;
    if (!(loss(high) <= goal)) return Infinity;
    for (let k = 0; k < 60; k++) {
      const middle = (low + high) / 2;
      if (loss(middle) > goal) low = middle;
      else high = middle;
    }
    return high;
  }

  return { left, log_det, whiten, time_to };
})();
