// Sorts and filters the scoreboard in the page; without it the table stands as it is.
document.addEventListener("DOMContentLoaded", () => {
  const table = document.querySelector("#scoreboard table");
  if (!table) return;
  const body = table.tBodies[0], rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells], names = heads.map((cell) => cell.textContent.trim());
  const text = (row, column) => row.cells[column].textContent.trim();

  function value(cell) {
    const found = cell.match(/[-−]?\d[\d.]*(e[-+]?\d+)?/i);
    return found ? Number(found[0].replace("−", "-")) : NaN;
  }
  heads.forEach((cell, column) => {
    const button = document.createElement("button");
    button.textContent = names[column];
    button.type = "button";
    cell.replaceChildren(button);
    button.onclick = () => {
      const up = cell.getAttribute("aria-sort") !== "ascending", sign = up ? 1 : -1;
      const numeric = ["theory asks", "measured", "published"].includes(names[column]);
      const key = (row) => (numeric ? value(text(row, column)) : text(row, column));
      rows.sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        if (!numeric) return sign * x.localeCompare(y, "en", { numeric: true });
        return isNaN(x) - isNaN(y) || sign * (x - y) || 0;
      });
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      cell.setAttribute("aria-sort", up ? "ascending" : "descending");
      body.append(...rows);
    };
  });

  const form = document.createElement("form");
  form.className = "scoreboard-filter";
  form.setAttribute("role", "search");
  form.onsubmit = () => false;
  function field(name, control) {
    const label = document.createElement("label");
    label.append(name + " ", control);
    form.append(label);
    control.oninput = apply;
    return control;
  }
  // A published number stands before its verdict, which is what is chosen.
  const entry = (row, column) => (names[column] === "published"
    ? row.cells[column].querySelector("span")?.textContent ?? "" : text(row, column));
  const chosen = ["chapter", "verdict", "published", "setting", "data"].map((name) => {
    const column = names.indexOf(name), select = document.createElement("select");
    select.add(new Option("all", ""));
    const found = new Set(rows.map((row) => entry(row, column)).filter(Boolean));
    [...found].forEach((choice) => select.add(new Option(choice)));
    return [column, field(name, select)];
  });
  const words = field("words", Object.assign(document.createElement("input"), { type: "search" }));
  const count = document.createElement("output");
  form.append(count);
  function apply() {
    const wanted = words.value.toLowerCase().split(/\s+/);
    let shown = 0;
    for (const row of rows) {
      const whole = row.textContent.toLowerCase();
      row.hidden = !(chosen.every(([column, select]) => !select.value || entry(row, column) === select.value)
        && wanted.every((word) => whole.includes(word)));
      shown += !row.hidden;
    }
    count.value = `${shown} of ${rows.length} claims`;
  }
  (table.closest(".pst-scrollable-table-container") ?? table).before(form);
  apply();
});
