"use strict";
// The closed loops of the double integrator, in double precision as in Python: u = -K x + phi(x) - phi(0), x+ = A x + B u.

explorer.loops = (view) => {
  const { A, B, gain } = view.system;
  const { widths } = view;

  // Return phi(x): theta holds layer by layer the matrix (inputs, outputs) row by row, then the bias.
  const network = (theta, x) => {
    let values = x;
    let at = 0;
    for (let layer = 0; layer + 1 < widths.length; layer += 1) {
      const [inputs, outputs] = [widths[layer], widths[layer + 1]];
      const bias = at + inputs * outputs;
      const next = new Array(outputs);
      for (let out = 0; out < outputs; out += 1) {
        let sum = 0;
        for (let one = 0; one < inputs; one += 1) sum += values[one] * theta[at + one * outputs + out];
        sum += theta[bias + out];
        next[out] = layer + 2 < widths.length ? Math.tanh(sum) : sum;
      }
      values = next;
      at = bias + outputs;
    }
    return values[0];
  };

  // Return the policy x -> u with the weights theta; without weights it is the backup.
  const policy = (theta) => {
    const backup = (x) => -(gain[0] * x[0] + gain[1] * x[1]);
    if (!theta) return backup;
    const atOrigin = network(theta, [0, 0]);
    return (x) => backup(x) + (network(theta, x) - atOrigin);
  };

  // Return x_0 ... x_T and u_0 ... u_{T-1}.
  const rollout = (theta, start, steps) => {
    const act = policy(theta);
    const [states, inputs] = [[start], []];
    for (let t = 0; t < steps; t += 1) {
      const x = states[t];
      const u = act(x);
      inputs.push(u);
      states.push(A.map((coefficients, axis) => coefficients[0] * x[0] + coefficients[1] * x[1] + B[axis][0] * u));
    }
    return { states, inputs };
  };

  // Return the gauge Psi(x) of O_inf.
  const gauge = (x) => Math.max(...view.facets.map(([first, second]) => first * x[0] + second * x[1]));

  // Return what the constraint judges of a loop, over its horizon T.
  const judge = ({ states, inputs }) => {
    const T = view.horizon;
    const state = Math.max(...states.slice(0, T + 1).flat().map(Math.abs));
    const input = Math.max(...inputs.slice(0, T).map(Math.abs));
    const left = gauge(states[T]) / gauge(states[0]);
    const stage = (u, t) => states[t][0] ** 2 + states[t][1] ** 2 + view.stageInputWeight * u ** 2;
    const cost = inputs.slice(0, T).reduce((sum, u, t) => sum + stage(u, t), 0);
    const broken = [
      [state > view.stateBound, "state"],
      [input > view.inputBound, "input"],
      [!(left <= view.contraction), "contraction"],
    ];
    return { state, input, left, cost, broken: broken.filter(([is]) => is).map(([, name]) => name) };
  };

  return { rollout, gauge, judge };
};
