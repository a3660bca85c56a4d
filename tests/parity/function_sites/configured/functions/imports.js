import text from "./text.txt";
import page from "./page.html";
import data from "./data.bin";
import empty from "./empty.wasm";
export const onRequestGet = async () => {
  const exported = Object.keys((await WebAssembly.instantiate(empty)).exports);
  return new Response(`${text}|${page}|${new Uint8Array(data).join()}|${exported.length}`);
};
