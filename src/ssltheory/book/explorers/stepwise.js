// The closed form of theory/stepwise/linear.py, under its names: gamma is Γ's spectrum, descending and positive, and the
// start is aligned, of singular values s_0. t is learning rate × step; lr null is gradient flow.
const stepwise = {
  linear_barlow_twins({ gamma, s_0, lr = null }) {
    const growth = gamma.map((g) => (lr === null ? g : Math.log1p(4 * lr * g) / (4 * lr)));
    const step_times = gamma.map((g, j) => {
      const p_0 = Math.min(g * s_0[j] ** 2, 1);
      return Math.max((Math.log1p(-p_0) - Math.log(p_0)) / (8 * growth[j]), 0);
    });
    const singular_values = (t) =>
      gamma.map((g, j) => (g + Math.exp(-8 * growth[j] * t) * (s_0[j] ** -2 - g)) ** -0.5);
    const eigenvalues = (t) => singular_values(t).map((s, j) => gamma[j] * s ** 2);
    const loss = (t) => eigenvalues(t).reduce((sum, p) => sum + (1 - p) ** 2, 0);
    return { gamma, growth, step_times, singular_values, eigenvalues, loss };
  },
};
