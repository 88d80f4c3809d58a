"use strict";

// The language that was chosen last is shown everywhere.
const KEY = "deepaas-core language";

function choose(language) {
  for (const tab of document.querySelectorAll(".tabs > input")) {
    tab.checked = tab.value === language || (tab.checked && !tab.parentElement.querySelector(`[value="${CSS.escape(language)}"]`));
  }
}

for (const tab of document.querySelectorAll(".tabs > input")) {
  tab.addEventListener("change", () => {
    choose(tab.value);
    try { localStorage.setItem(KEY, tab.value); } catch { /* not allowed here, and not needed */ }
  });
}
try {
  const last = localStorage.getItem(KEY);
  if (last) choose(last);
} catch { /* as above */ }

// What a field holds; undefined where it is left empty.
async function valueOf(field) {
  switch (field.dataset.widget) {
    case "image": {
      const [file] = field.files;
      if (!file) return undefined;
      const reader = new FileReader();
      await new Promise((resolve, reject) => {
        reader.onload = resolve;
        reader.onerror = reject;
        reader.readAsDataURL(file);
      });
      return reader.result;
    }
    case "text": return field.value === "" ? undefined : field.value;
    case "number": return field.value === "" ? undefined : Number(field.value);
    default: return field.value === "" ? undefined : parsed(field);
  }
}

// JSON; other words are a text.
function parsed(field) {
  try { return JSON.parse(field.value); } catch { return field.value; }
}

async function bodyOf(form) {
  const body = form.querySelector(".body");
  if (body) return body.value;
  const row = {};
  for (const field of form.querySelectorAll("[data-name]")) {
    const value = await valueOf(field);
    if (value !== undefined) {
      Object.defineProperty(row, field.dataset.name, { value, enumerable: true });
    }
  }
  const variant = form.querySelector(".variant");
  const chosen = variant ? { [form.dataset.chosenBy]: variant.value } : {};
  return JSON.stringify("rows" in form.dataset ? { rows: [row], ...chosen } : { ...chosen, ...row });
}

// Show a test query in the fields, as far as it fits there.
function fill(form, text) {
  const area = form.querySelector(".body");
  const body = JSON.parse(text);
  if (area) area.value = JSON.stringify(body, null, 2);
  const row = "rows" in form.dataset ? body.rows?.[0] ?? {} : body;
  for (const field of form.querySelectorAll("[data-name]")) {
    if (field.dataset.widget === "image" || !Object.hasOwn(row, field.dataset.name)) continue;
    const value = row[field.dataset.name];
    field.value = field.dataset.widget === "json" ? JSON.stringify(value) : value;
  }
  const variant = form.querySelector(".variant");
  if (variant) variant.value = body[form.dataset.chosenBy] ?? variant.options[0].value;
}

async function run(form, body) {
  const outcome = form.querySelector(".outcome"), answer = form.querySelector(".answer");
  const button = form.querySelector("[type=submit]");
  const headers = { "Content-Type": "application/json" };
  const token = form.querySelector(".token")?.value;
  if (token) headers.Authorization = `Bearer ${token}`;
  if (form.dataset.generation) headers["X-Generation"] = form.dataset.generation;
  button.disabled = true;
  outcome.classList.remove("refused");
  outcome.textContent = "…";
  const began = performance.now();
  try {
    // By this mode a browser shows with what its user has come in, if no token is typed.
    const mode = token ? "cors" : "same-origin";
    const response = await fetch(new URL(form.dataset.url, location.origin + location.pathname), { method: "POST", headers, body, mode });
    const text = await response.text();
    const generation = response.headers.get("X-Service-Generation");
    const took = `${(performance.now() - began).toFixed(0)} ms`;
    outcome.textContent = [response.status, took, generation].filter(Boolean).join(" · ");
    outcome.classList.toggle("refused", !response.ok);
    answer.querySelector("code").textContent = pretty(text);
    answer.hidden = false;
  } catch (error) {
    outcome.textContent = String(error);
    outcome.classList.add("refused");
  } finally {
    button.disabled = false;
  }
}

// JSON on several lines, with its numbers as they came.
function pretty(text) {
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  let depth = 0, inText = false, made = "";
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at];
    if (inText) {
      made += char;
      if (char === "\\") made += text[at += 1];
      else if (char === '"') inText = false;
    } else if (char === '"') {
      inText = true;
      made += char;
    } else if ("{[".includes(char)) {
      const shuts = char === "{" ? "}" : "]";
      if (text[at + 1] === shuts) made += char + text[at += 1];
      else made += `${char}\n${"  ".repeat(depth += 1)}`;
    } else if ("}]".includes(char)) made += `\n${"  ".repeat(depth -= 1)}${char}`;
    else if (char === ",") made += `,\n${"  ".repeat(depth)}`;
    else if (char === ":") made += ": ";
    else if (char.trim()) made += char;
  }
  return made;
}

for (const form of document.querySelectorAll(".try")) {
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    await run(form, await bodyOf(form));
  });
  for (const chip of form.querySelectorAll(".chip")) {
    chip.addEventListener("click", () => {
      fill(form, chip.dataset.body);
      run(form, chip.dataset.body);
    });
  }
}
