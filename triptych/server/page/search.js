// Texts of documents are inserted as text only; an address becomes a link only if it is one of the web.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const form = byId("form"), question = byId("question"), category = byId("category");
  const hits = byId("hits"), status = byId("status"), tokenForm = byId("token-form");
  const TOKEN = "triptych-token", K = 10;
  let latest = 0; // number of the last search; answers to earlier ones are dropped

  const element = (name, className, ...children) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    made.append(...children);
    return made;
  };

  const ask = async (path, body) => {
    const headers = {};
    const token = sessionStorage.getItem(TOKEN);
    if (token) headers.Authorization = `Bearer ${token}`;
    if (body) headers["Content-Type"] = "application/json";
    const response = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body) });
    const answer = await response.json().catch(() => ({}));
    if (response.status === 401) tokenForm.hidden = false;
    if (!response.ok) throw new Error(answer.error?.message ?? `the server answered ${response.status}`);
    return answer;
  };

  const show = (text, failed = false) => {
    status.textContent = text;
    status.classList.toggle("failed", failed);
  };

  // The spans are in code points, a string of JavaScript is in UTF-16.
  const marked = ({ text, matches }) => {
    const letters = Array.from(text), parts = [];
    let end = 0;
    for (const [start, stop] of matches) {
      parts.push(letters.slice(end, start).join(""), element("mark", "", letters.slice(start, stop).join("")));
      end = stop;
    }
    return [...parts, letters.slice(end).join("")];
  };

  const isWeb = (address) => {
    try {
      return ["http:", "https:"].includes(new URL(address).protocol);
    } catch {
      return false;
    }
  };

  const hitOf = (hit, rank) => {
    const title = element("h2", "", `${rank}. `);
    const name = hit.title || hit.chunk_id;
    if (hit.url && isWeb(hit.url)) {
      const link = element("a", "", name);
      link.href = hit.url;
      link.rel = "noopener noreferrer";
      title.append(link);
    } else {
      title.append(name);
    }
    const path = hit.header_path.join(" > ");
    const where = element("p", "quiet where", [path, hit.category, hit.filename].filter(Boolean).join(" · "));
    const item = element("li", "hit", title, where);
    if (hit.written_question) item.append(element("p", "quiet", `Answers: ${hit.written_question}`));
    item.append(element("p", "snippet", ...marked(hit.snippet)));
    item.append(element("details", "", element("summary", "", "Whole text"), element("pre", "code", hit.content)));
    return item;
  };

  const search = async () => {
    const text = question.value.trim(), number = (latest += 1);
    hits.replaceChildren();
    document.title = text ? `${text} | Search` : "Search";
    if (!text) return show("");
    show("Searching…");
    try {
      const answer = await ask("search", { question: text, k: K, category: category.value || null });
      if (number !== latest) return;
      hits.append(...answer.hits.map((hit, index) => hitOf(hit, index + 1)));
      show(answer.hits.length === 1 ? "1 hit" : `${answer.hits.length} hits`);
    } catch (error) {
      if (number === latest) show(`${error.message}.`, true);
    }
  };

  const inAddress = (name) => new URLSearchParams(location.search).get(name) ?? "";

  const chooseCategory = () => {
    category.value = inAddress("category");
    if (category.selectedIndex < 0) category.value = "";
  };

  const fromAddress = () => {
    question.value = inAddress("q");
    chooseCategory();
    return search();
  };

  const start = async () => {
    try {
      const { categories } = await ask("info");
      category.replaceChildren(new Option("all", ""), ...categories.map((name) => new Option(name, name)));
      category.parentElement.hidden = categories.length < 2;
      tokenForm.hidden = true;
      chooseCategory();
      // What was typed since the page opened stays.
      if (inAddress("q") && question.value.trim() === inAddress("q")) await search();
    } catch (error) {
      show(`${error.message}.`, true);
    }
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const asked = new URLSearchParams({ q: question.value.trim() });
    if (category.value) asked.set("category", category.value);
    history.pushState(null, "", `?${asked}`);
    search();
  });
  category.addEventListener("change", () => question.value.trim() && form.requestSubmit());
  tokenForm.addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem(TOKEN, byId("token").value.trim());
    start();
  });
  window.addEventListener("popstate", fromAddress);

  // Arrow keys go from the question through the hits and back; / and Escape return to the question.
  document.addEventListener("keydown", (event) => {
    const here = document.activeElement;
    const typing = here.matches("input, select") && here !== question;
    if (event.ctrlKey || event.metaKey || event.altKey || typing) return;
    if ((event.key === "/" && here !== question) || (event.key === "Escape" && here !== question)) {
      event.preventDefault();
      question.focus();
      question.select();
      return;
    }
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const stops = [question, ...hits.querySelectorAll("summary")];
    const at = stops.indexOf(here.closest("li")?.querySelector("summary") ?? here);
    if (here.closest("pre") || (at < 0 && here !== document.body)) return;
    const next = stops[Math.max(0, at) + (event.key === "ArrowDown" ? 1 : -1)];
    if (!next) return;
    event.preventDefault();
    next.focus();
    next.closest("li")?.scrollIntoView({ block: "nearest" });
  });

  question.value ||= inAddress("q");
  question.focus();
  start();
})();
