// Draws the film of a point cloud in the page: no library, no request, inert where its element is not there.
(function (film) {
  if (!film) return;
  const data = JSON.parse(film.querySelector("script").textContent);
  const bytes = Uint8Array.from(atob(data.points), (c) => c.charCodeAt(0));
  const points = new Int16Array(bytes.buffer); // frames × images × 3, little endian
  const [frames, images] = data.shape;
  const [box, ...panels] = film.querySelectorAll("canvas");
  const [play, slider, text] = ["button", "input", "output"].map((tag) => film.querySelector(tag));
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const logs = data.times.map(Math.log);
  let at = data.shots[data.shots.length - 1], running = false, last = 0;

  function surface(canvas) {
    const ratio = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    const c = canvas.getContext("2d");
    c.scale(ratio, ratio);
    c.font = "12px sans-serif";
    c.strokeStyle = c.fillStyle = getComputedStyle(film).color;
    return [c, width, height];
  }

  function between(frame) { // the mean of a list's two neighbours of a moment
    const low = Math.floor(frame), high = Math.min(low + 1, frames - 1), share = frame - low;
    return (list, n = 1, i = 0) => (1 - share) * list[n * low + i] + share * list[n * high + i];
  }

  function cloud(frame) {
    const [c, width, height] = surface(box);
    const turn = still.matches ? 0 : 0.5 * Math.sin((2 * Math.PI * frame) / (frames - 1));
    const [ca, sa, ce, se] = [Math.cos(0.95 + turn), Math.sin(0.95 + turn), Math.cos(0.35), Math.sin(0.35)];
    const size = Math.min(width, height) / 3.4;
    const flat = ([x, y, z]) => [
      width / 2 + size * (ca * y - sa * x), height / 2 - size * (ce * z - se * (ca * x + sa * y))];
    const dot = (p, radius) => { c.beginPath(); c.arc(...flat(p), radius, 0, 7); c.fill(); };
    const onto = (p, wall) => p.map((v, i) => (i === wall ? -1 : v));
    const corners = [[-1, -1], [-1, 1], [1, 1], [1, -1], [-1, -1]];
    c.globalAlpha = 0.4;
    for (let wall = 0; wall < 3; wall++) {
      c.beginPath();
      for (const corner of corners) c.lineTo(...flat([...corner.slice(0, wall), -1, ...corner.slice(wall)]));
      c.stroke();
    }
    c.globalAlpha = 1;
    for (let i = 0; i < 3; i++) c.fillText("axis " + data.axes[i], ...flat([0, 1, 2].map((j) => (j === i ? 1.15 : -1))));
    const [ox, oy] = flat(data.origin);
    c.fillRect(ox - 6, oy - 0.5, 12, 1);
    c.fillRect(ox - 0.5, oy - 6, 1, 12);
    const mean = between(frame), value = (i) => mean(points, 3 * images, i) / 16384;
    const at = [...data.colors.keys()].map((i) => [value(3 * i), value(3 * i + 1), value(3 * i + 2)]);
    c.globalAlpha = 0.25;
    for (let wall = 0; wall < 3; wall++) at.forEach((p) => dot(onto(p, wall), 1.2));
    c.globalAlpha = 0.9;
    at.forEach((p, i) => { c.fillStyle = data.colors[i]; dot(p, 2.6); });
  }

  function curves(canvas, { label, solid, dashed, low, top }, now) {
    const [c, width, height] = surface(canvas), pad = 30;
    const x = (log) => pad + ((width - pad - 8) * (log - logs[0])) / (logs[frames - 1] - logs[0]);
    const y = (v) => 12 + (height - pad - 18) * ((top - v) / (top - low));
    const line = (xs, ys) => { c.beginPath(); xs.forEach((v, i) => c.lineTo(x(v), y(ys[i]))); c.stroke(); };
    for (let k = low; k <= Math.round(top); k += Math.ceil((top - low) / 5)) c.fillText(k, 2, y(k) + 4);
    c.fillText(label, pad, height - 8);
    c.globalAlpha = 0.5;
    c.setLineDash([2, 3]);
    for (const tau of data.steps) line([Math.log(tau), Math.log(tau)], [top, low]);
    c.globalAlpha = 0.9;
    c.setLineDash([5, 3]);
    for (const values of dashed) line(logs, values);
    c.setLineDash([]);
    c.lineWidth = 2;
    c.strokeStyle = "#3a8fc8";
    for (const values of solid) line(logs, values);
    c.strokeStyle = "#d55e00";
    line([now, now], [top, low]);
  }

  function draw() {
    const mean = between(at), now = mean(logs), t = Math.exp(now);
    slider.value = at;
    cloud(at);
    panels.forEach((canvas, i) => curves(canvas, data.panels[i], now));
    const shape = data.shapes[data.steps.filter((tau) => tau <= t).length] ?? "more than can be drawn";
    text.textContent = `t = ${t.toPrecision(2)}: ${shape}, loss ${mean(data.panels[0].solid[0]).toFixed(2)}`;
    slider.setAttribute("aria-valuetext", text.textContent);
  }
  function stop() { running = false; play.textContent = "Play"; }
  function tick(now) {
    if (!running) return;
    const wait = still.matches ? 1500 : 0; // reduced motion: from snapshot to snapshot
    if (now - last >= wait) {
      if (wait) at = data.shots.find((shot) => shot > at + 0.01) ?? frames - 1;
      else at = Math.min(at + ((now - last) * (frames - 1)) / 14000, frames - 1);
      last = now;
      draw();
      if (at >= frames - 1) return stop();
    }
    requestAnimationFrame(tick);
  }
  play.onclick = () => {
    if (running) return stop();
    if (at >= frames - 1) at = 0;
    running = true;
    play.textContent = "Pause";
    last = performance.now();
    requestAnimationFrame(tick);
  };
  slider.oninput = () => { stop(); at = Number(slider.value); draw(); };
  addEventListener("resize", draw);
  new MutationObserver(draw).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  draw();
})(document.getElementById("embedding-film"));
