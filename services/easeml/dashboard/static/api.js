// What the pages ask the server.

export class Refused extends Error {
  constructor(status, told) {
    super(told.message);
    this.status = status;
    this.reason = told.reason;
    this.mend = told.mend;
  }
}

async function call(method, path, body) {
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: body === undefined ? {} : { "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
    });
  } catch {
    throw new Refused(0, { reason: "unreachable", message: "The dashboard's server does not answer.", mend: "'easeml status' tells why." });
  }
  const content = await response.json();
  if (!response.ok) throw new Refused(response.status, content.error);
  return content;
}

export const get = (path) => call("GET", path);
export const post = (path, body = {}) => call("POST", path, body);
export const remove = (path) => call("DELETE", path);
// A name that is given once; without TLS a browser has none ready at other addresses than the machine's own.
export const fresh = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
export const of = (app, rest) => `/api/apps/${encodeURIComponent(app)}/${rest}`;

// Live news of one app. The browser itself comes back after a break, and says what it heard last.
export function listen(app, heard, state) {
  const source = new EventSource(`/api/changes?app=${encodeURIComponent(app)}`);
  let begun = false;
  source.onopen = () => state(true);
  source.onerror = () => state(false);
  source.onmessage = (message) => {
    const { reset, changes } = JSON.parse(message.data);
    // What changed between the page's first request and this moment would be missed otherwise.
    heard({ all: reset || !begun, parts: new Set(changes.map(([, part]) => part)) });
    begun = true;
  };
  return () => source.close();
}
