"use strict";
// Every test query in one table, sorted, filtered and paged. Texts are only set as text, never as HTML.
(() => {
  const data = JSON.parse(document.getElementById("page-data").textContent).explorer;
  const PER_PAGE = 25;
  const byId = (name) => document.getElementById(`explorer-${name}`);
  const [form, status, table] = [byId("form"), byId("status"), byId("table")];
  const state = { sort: "change", descending: true, page: 0, before: data.compared[0], after: data.compared[1] };

  const element = (tag, className, ...children) => {
    const node = document.createElement(tag);
    if (className) node.className = className;
    node.append(...children);
    return node;
  };

  const rows = data.rows.map(([text, category, kind, ranks], number) => ({
    number, text, category, kind, ranks, words: text.toLowerCase(),
  }));
  const inverse = (rank) => (rank ? 1 / rank : 0);
  const change = (row) => inverse(row.ranks[state.after]) - inverse(row.ranks[state.before]);
  const shown = (rank) => (rank ? String(rank) : "–");

  const KEYS = {
    query: (row) => row.words,
    category: (row) => data.categories[row.category],
    change,
  };
  const keyOf = (sort) => KEYS[sort] ?? ((row) => row.ranks[Number(sort)] || data.depth + 1);

  const chosen = () => {
    const [category, kind] = [byId("category").value, byId("kind").value];
    const words = byId("text").value.toLowerCase().split(/\s+/).filter(Boolean);
    const matching = rows.filter(
      (row) =>
        (category === "" || row.category === Number(category)) &&
        (kind === "" || row.kind === Number(kind)) &&
        words.every((word) => row.words.includes(word)),
    );
    const key = keyOf(state.sort);
    const keyed = matching.map((row) => [key(row), row]);
    const sign = state.descending ? -1 : 1;
    keyed.sort(([a, x], [b, y]) => sign * (a < b ? -1 : a > b ? 1 : 0) || x.number - y.number);
    return keyed.map(([, row]) => row);
  };

  const columns = () => [
    ["query", "query"],
    ...(data.categories.length > 1 ? [["category", "category"]] : []),
    ...data.systems.map((name, index) => [String(index), name]),
    ["change", "change"],
  ];

  const heading = () => {
    const line = element("tr");
    for (const [sort, name] of columns()) {
      const button = element("button", "", name);
      button.type = "button";
      button.dataset.sort = sort;
      const cell = element("th", /^\d|change/.test(sort) ? "number" : "", button);
      cell.scope = "col";
      if (sort === state.sort) cell.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
      line.append(cell);
    }
    table.tHead.replaceChildren(line);
  };

  const movement = (row) => {
    const gain = change(row);
    const [from, to] = [shown(row.ranks[state.before]), shown(row.ranks[state.after])];
    if (gain === 0) return element("td", "number quiet", "=");
    return element("td", `number ${gain > 0 ? "gain" : "loss"}`, `${gain > 0 ? "▲" : "▼"} ${from} → ${to}`);
  };

  const describe = (chunk) => {
    const [category, title, path, file, snippet] = data.chunks[chunk];
    const [name, inside] = [data.categories[category], path || file];
    const where = data.categories.length > 1 && !inside.startsWith(name) ? `${name} · ${inside}` : inside;
    return [element("p", "title", title), element("p", "quiet", where), element("p", "snippet", snippet)];
  };

  const detail = (row) => {
    const cell = element("td");
    cell.colSpan = columns().length;
    const line = element("tr", "detail", cell);
    if (row.number >= data.hits.length) {
      cell.append(element("p", "quiet", "The page does not contain this query's hits; they are in data/runs."));
      return line;
    }
    const answers = new Set(data.answers[row.number]);
    for (const answer of answers) {
      cell.append(element("div", "answer", element("p", "tag", "✓ the answer"), ...describe(answer)));
    }
    const rankings = element("div", "rankings");
    data.hits[row.number].forEach((hits, system) => {
      const rank = row.ranks[system];
      const summary = rank ? `answer at rank ${rank}` : `answer not in the first ${data.depth}`;
      const list = element("ol");
      for (const [index, chunk] of hits.entries()) {
        const right = answers.has(chunk);
        const hit = element("li", right ? "hit right" : "hit");
        hit.append(element("p", right ? "badge" : "quiet", right ? `${index + 1} ✓ answer` : String(index + 1)), ...describe(chunk));
        list.append(hit);
      }
      if (!hits.length) list.append(element("li", "hit quiet", "no hit"));
      rankings.append(element("div", "ranking", element("h3", "", data.systems[system], element("span", "", summary)), list));
    });
    cell.append(rankings);
    return line;
  };

  const lineOf = (row) => {
    const button = element("button", "", row.text);
    button.type = "button";
    button.setAttribute("aria-expanded", "false");
    const question = element("td", "question", button);
    if (data.kinds.length > 1) question.append(element("div", "quiet", data.kinds[row.kind]));
    const line = element("tr", "", question);
    if (data.categories.length > 1) line.append(element("td", "quiet", data.categories[row.category]));
    row.ranks.forEach((rank, system) => {
      const compared = system === state.before || system === state.after;
      const cell = element("td", compared ? "number compared" : "number", shown(rank));
      cell.dataset.label = data.systems[system];
      line.append(cell);
    });
    line.append(movement(row));
    button.addEventListener("click", () => {
      const open = button.getAttribute("aria-expanded") === "true";
      button.setAttribute("aria-expanded", String(!open));
      line.classList.toggle("opened", !open);
      if (open) line.nextElementSibling.remove();
      else line.after(detail(row));
    });
    return line;
  };

  const show = () => {
    const selected = chosen();
    const pages = Math.max(1, Math.ceil(selected.length / PER_PAGE));
    state.page = Math.min(state.page, pages - 1);
    const first = state.page * PER_PAGE;
    heading();
    table.tBodies[0].replaceChildren(...selected.slice(first, first + PER_PAGE).map(lineOf));
    const moved = selected.map(change);
    const count = (number) => number.toLocaleString("en");
    status.textContent =
      `${count(selected.length)} ${selected.length === 1 ? "query" : "queries"}: ${data.systems[state.after]} ranks the answer higher than` +
      ` ${data.systems[state.before]} in ${count(moved.filter((one) => one > 0).length)}, lower in` +
      ` ${count(moved.filter((one) => one < 0).length)}.`;
    byId("page").textContent = `${state.page + 1} of ${count(pages)}`;
    byId("previous").disabled = state.page === 0;
    byId("next").disabled = state.page === pages - 1;
    for (const button of form.querySelectorAll("[data-order]")) {
      const pressed = state.sort === "change" && state.descending === (button.dataset.order === "gain");
      button.setAttribute("aria-pressed", String(pressed));
    }
  };

  const options = (select, names, value) => {
    names.forEach((name, index) => select.append(new Option(name, String(index))));
    if (value !== undefined) select.value = String(value);
  };
  options(byId("before"), data.systems, state.before);
  options(byId("after"), data.systems, state.after);
  options(byId("category"), data.categories);
  options(byId("kind"), data.kinds);
  byId("category").parentElement.hidden = data.categories.length < 2;
  byId("kind").parentElement.hidden = data.kinds.length < 2;

  const again = (changes) => {
    Object.assign(state, { page: 0 }, changes);
    show();
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () =>
    again({ before: Number(byId("before").value), after: Number(byId("after").value) }));
  form.addEventListener("click", (event) => {
    const order = event.target.dataset?.order;
    if (order) again({ sort: "change", descending: order === "gain" });
  });
  table.tHead.addEventListener("click", (event) => {
    const sort = event.target.dataset?.sort;
    if (!sort) return;
    // Changes sort descending first, other columns ascending.
    again({ sort, descending: sort === state.sort ? !state.descending : sort === "change" });
    table.tHead.querySelector(`[data-sort="${sort}"]`).focus();
  });
  byId("previous").addEventListener("click", () => again({ page: state.page - 1 }));
  byId("next").addEventListener("click", () => again({ page: state.page + 1 }));
  show();
})();
