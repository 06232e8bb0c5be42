// Arrows of a graph, for the figures that draw one.

// From a to b in a graph, straight; it keeps clear of the nodes' circles, of radius r.
function straight([ax, ay], [bx, by], r) {
  const length = Math.hypot(bx - ax, by - ay);
  const [ux, uy] = [(bx - ax) / length, (by - ay) / length];
  return { from: [ax + r * ux, ay + r * uy], tip: [bx - r * ux, by - r * uy], along: [ux, uy] };
}

// From a node back to itself, on the side where no other arrow is.
function loop([x, y], angle, r) {
  const at = (turn, far) => [x + far * Math.cos(angle + turn), y + far * Math.sin(angle + turn)];
  const [from, tip, out, back] = [at(-0.5, r), at(0.5, r), at(-0.62, r + 24), at(0.62, r + 24)];
  const length = Math.hypot(tip[0] - back[0], tip[1] - back[1]);
  const along = [(tip[0] - back[0]) / length, (tip[1] - back[1]) / length];
  return { from, tip, along, bend: `C${out} ${back} ` };
}

// An arrow as SVG: a line as far as its head, and the head.
function arrow({ from, tip: [x, y], along: [ux, uy], bend = "L" }, width) {
  const [long, wide] = [4 + 1.6 * width, 2 + width];
  const [bx, by] = [x - long * ux, y - long * uy];
  const head = [x, y, bx - wide * uy, by + wide * ux, bx + wide * uy, by - wide * ux];
  return `<path d="M${from}${bend}${bx + ux},${by + uy}" stroke-width="${width}"/>
    <polygon points="${head}"/>`;
}
