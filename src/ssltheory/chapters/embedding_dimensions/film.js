// Draws the film of a point cloud in the page: no library, no request, inert where its element is not there.
(function (film) {
  if (!film) return;
  const data = JSON.parse(film.querySelector("script").textContent);
  const bytes = Uint8Array.from(atob(data.points), (c) => c.charCodeAt(0));
  const points = new Int16Array(bytes.buffer); // frames × images × 3, little endian
  const [frames, images] = data.shape;
  const [box, stairs] = film.querySelectorAll("canvas");
  const [play, slider, text] = ["button", "input", "output"].map((tag) => film.querySelector(tag));
  const still = matchMedia("(prefers-reduced-motion: reduce)");
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
    for (let i = 0; i < 3; i++) c.fillText("axis " + (i + 1), ...flat([0, 1, 2].map((j) => (j === i ? 1.15 : -1))));
    const [ox, oy] = flat(data.origin);
    c.fillRect(ox - 6, oy - 0.5, 12, 1);
    c.fillRect(ox - 0.5, oy - 6, 1, 12);
    const low = Math.floor(frame), high = Math.min(low + 1, frames - 1), share = frame - low;
    const value = (i) => ((1 - share) * points[3 * low * images + i] + share * points[3 * high * images + i]) / 16384;
    const at = [...data.colors.keys()].map((i) => [value(3 * i), value(3 * i + 1), value(3 * i + 2)]);
    c.globalAlpha = 0.25;
    for (let wall = 0; wall < 3; wall++) at.forEach((p) => dot(onto(p, wall), 1.2));
    c.globalAlpha = 0.9;
    at.forEach((p, i) => { c.fillStyle = data.colors[i]; dot(p, 2.6); });
  }

  function staircase(frame) {
    const [c, width, height] = surface(stairs);
    const logs = data.times.map(Math.log), top = data.loss[0], pad = 30;
    const x = (log) => pad + ((width - pad - 8) * (log - logs[0])) / (logs[frames - 1] - logs[0]);
    const y = (loss) => 12 + (height - pad - 18) * (1 - loss / top);
    c.globalAlpha = 0.5;
    c.setLineDash([2, 3]);
    for (const tau of data.steps) { c.beginPath(); c.moveTo(x(Math.log(tau)), y(top)); c.lineTo(x(Math.log(tau)), y(0)); c.stroke(); }
    c.setLineDash([]);
    c.globalAlpha = 1;
    for (let k = 0; k <= Math.round(top); k += Math.ceil(top / 6)) c.fillText(k, 8, y(k) + 4);
    c.fillText("loss against t = learning rate × step (log)", pad, height - 8);
    c.beginPath();
    logs.forEach((log, i) => c.lineTo(x(log), y(data.loss[i])));
    c.lineWidth = 2;
    c.strokeStyle = "#3a8fc8";
    c.stroke();
    const low = Math.floor(frame), high = Math.min(low + 1, frames - 1), share = frame - low;
    const mix = (v) => (1 - share) * v[low] + share * v[high];
    c.beginPath();
    c.arc(x(mix(logs)), y(mix(data.loss)), 6, 0, 7);
    c.fillStyle = "#d55e00";
    c.fill();
    const t = Math.exp(mix(logs)), taken = data.steps.filter((tau) => tau <= t).length;
    const shape = data.shapes[taken] ?? "more than can be drawn";
    text.textContent = `t = ${t.toPrecision(2)}: ${shape}, loss ${mix(data.loss).toFixed(2)}`;
    slider.setAttribute("aria-valuetext", text.textContent);
  }

  function draw() { slider.value = at; cloud(at); staircase(at); }
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
