// Keeps a page up to date: on each change that the server tells of, its live part is fetched again and put in place.
// Without this script the page is the same, as of when it was opened.
const part = document.querySelector("[data-live]");

const isSameKind = (old, fresh) =>
  old.nodeName === fresh.nodeName && old.id === fresh.id && !["A", "BUTTON", "FORM"].includes(old.nodeName);

// What didn't change stays the very same node, with its focus, its selection and the press that is under way on it.
// A link or form that did change is put anew: what has the focus must never become another under a finger.
function bringUpToDate(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType !== Node.ELEMENT_NODE || !isSameKind(old, fresh)) {
    old.replaceWith(fresh);
    return;
  }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const children = [...old.childNodes];
  const wanted = [...fresh.childNodes];
  wanted.forEach((child, place) => {
    if (place < children.length) bringUpToDate(children[place], child);
    else old.append(child);
  });
  for (const child of children.slice(wanted.length)) child.remove();
}

if (part) {
  const mark = document.querySelector(".live");
  let isFetching = false;
  let isStale = false;
  let isPressed = false; // between a button's press and its release it must stay where it is

  const isInUse = () =>
    isPressed ||
    part.contains(document.activeElement) && document.activeElement.matches("input, textarea, select") ||
    part.querySelector(".actions details[open]") !== null;

  const opened = () => new Set([...part.querySelectorAll("details[open][id]")].map(({ id }) => id));

  async function refresh() {
    if (isFetching || isInUse()) {
      isStale = true;
      return;
    }
    isFetching = true;
    isStale = false;
    try {
      const answer = await fetch(location.href, { credentials: "same-origin" });
      if (!answer.ok) {
        source.close();
        if (answer.status === 404 || answer.status === 401) location.reload();
        return;
      }
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-live]");
      const open = opened();
      if (fresh === null || isInUse()) {
        isStale = fresh !== null;
        return;
      }
      for (const details of fresh.querySelectorAll("details[id]")) details.open = open.has(details.id);
      bringUpToDate(part, fresh);
    } finally {
      isFetching = false;
      if (isStale && !isInUse()) setTimeout(refresh, 500);
    }
  }

  const source = new EventSource(part.dataset.live);
  source.addEventListener("open", () => {
    if (mark) mark.hidden = false;
    refresh(); // what changed between the page's making, or the connection's loss, and now was told to nobody
  });
  source.addEventListener("error", () => { if (mark) mark.hidden = true; });
  source.addEventListener("change", refresh);
  source.addEventListener("end", () => {
    source.close();
    if (mark) mark.hidden = true;
    refresh();
  });
  part.addEventListener("pointerdown", () => { isPressed = true; });
  for (const end of ["pointerup", "pointercancel"]) {
    addEventListener(end, () => {
      isPressed = false;
      if (isStale) setTimeout(refresh, 50);
    });
  }
  part.addEventListener("focusout", () => { if (isStale) setTimeout(refresh, 50); });
  part.addEventListener("toggle", () => { if (isStale) setTimeout(refresh, 50); }, true);
}
