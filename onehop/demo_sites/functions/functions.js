const shown = (id) => document.getElementById(id);

const ask = {
  async hello() {
    const answer = await fetch(`/api/hello?name=${encodeURIComponent(shown("name").value)}`);
    shown("hello").value = JSON.stringify(await answer.json());
  },
  async count() {
    shown("count").value = (await (await fetch("/api/count", { method: "POST" })).json()).count;
  },
  async clock() {
    shown("clock").value = "";
    const reader = (await fetch("/api/clock")).body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) shown("clock").value += part.value;
  },
};

for (const button of document.querySelectorAll("[data-ask]")) button.addEventListener("click", ask[button.dataset.ask]);
fetch("/api/count").then(async (answer) => (shown("count").value = (await answer.json()).count));
