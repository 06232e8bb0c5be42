// How numbers are written, and products of matrices, for the figures that show arithmetic.

const two = (x) => x === -Infinity ? "−∞" : x.toFixed(2).replace("-0.00", "0.00").replace("-", "−");
const trimmed = (x) => two(x).replace(/\.?0+$/, ""); // 1, 0.5

const turned = (A) => A[0].map((_, j) => A.map((row) => row[j]));
const times = (A, B) => A.map((row) => turned(B).map((column) => dot(row, column)));
const dot = (u, v) => sum(u.map((x, k) => x * v[k]));

// "1·0 + 0·4": a dot product as one writes it with a pencil.
const written = (u, v, first = trimmed) =>
  u.map((x, k) => `${first(x)}·${v[k] < 0 ? `(${trimmed(v[k])})` : trimmed(v[k])}`).join(" + ");
