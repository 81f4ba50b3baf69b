// Values of a row as people see them: words, numbers, pictures.

import { figure, h } from "./dom.js";

function image(cell) {
  const canvas = h("canvas", { width: cell.width, height: cell.height, class: "image", role: "img", "aria-label": `Image, ${cell.width} by ${cell.height}` });
  const pixels = new ImageData(cell.width, cell.height);
  const known = cell.values.filter((value) => value !== null);
  const low = known.length ? Math.min(0, known.reduce((a, b) => Math.min(a, b))) : 0;
  const high = known.length ? known.reduce((a, b) => Math.max(a, b)) : 1;
  const span = high - low || 1;
  for (let place = 0; place < cell.width * cell.height; place += 1) {
    for (let channel = 0; channel < 4; channel += 1) {
      const from = cell.channels === 1 ? 0 : channel;
      const value = channel === 3 && cell.channels < 4 ? high : cell.values[place * cell.channels + from];
      pixels.data[4 * place + channel] = 255 * (((value ?? low) - low) / span);
    }
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}

export function cell(value) {
  if (value.kind === "missing") return h("span", { class: "missing" }, "missing");
  if (value.kind === "number") return h("span", { class: "num" }, figure(value.value));
  if (value.kind === "image") return image(value);
  if (value.kind === "numbers") return h("span", { class: "num" }, value.value.slice(0, 8).map(figure).join(", ") + (value.value.length > 8 ? ` … (${value.shape[0]})` : ""));
  return h("span", { class: value.value.length > 60 ? "text" : "" }, value.value);
}

export const large = (value) => value.kind === "image" || (value.kind === "text" && value.value.length > 60);
