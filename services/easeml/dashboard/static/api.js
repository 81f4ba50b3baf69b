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
  const content = await response.json().catch(() => { throw new Refused(response.status, { reason: "unreadable", message: `Something else than the dashboard answered (status ${response.status}).`, mend: "Is a proxy in between?" }); });
  if (!response.ok) throw new Refused(response.status, content.error);
  return content;
}

export const get = (path) => call("GET", path);
export const post = (path, body = {}) => call("POST", path, body);
export const remove = (path) => call("DELETE", path);
// A name that is given once; without TLS a browser has none ready at other addresses than the machine's own.
export const fresh = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
export const of = (app, rest) => `/api/apps/${encodeURIComponent(app)}/${rest}`;

// Live news of one app. The browser itself comes back after a break and says what it heard last; where it gives up, or
// nobody looks, the news are listened to anew, beginning with everything. A hidden page does not listen: browsers grant
// all pages of one address six connections together.
const AGAIN = 3000; // milliseconds

export function listen(app, heard, state) {
  let source = null, timer = 0;
  function end() {
    clearTimeout(timer);
    source?.close();
    source = null;
  }
  function begin() {
    end();
    let begun = false;
    source = new EventSource(`/api/changes?app=${encodeURIComponent(app)}`);
    source.onopen = () => state(true);
    source.onerror = () => {
      state(false);
      if (source?.readyState === EventSource.CLOSED) {
        timer = setTimeout(begin, AGAIN);
        heard({ all: true, parts: new Set() });
      }
    };
    source.onmessage = (message) => {
      const { reset, changes } = JSON.parse(message.data);
      // What changed between the page's first request and this moment would be missed otherwise.
      heard({ all: reset || !begun, parts: new Set(changes.map(([, part]) => part)) });
      begun = true;
    };
  }
  const turned = () => (document.hidden ? end() : begin());
  document.addEventListener("visibilitychange", turned);
  if (!document.hidden) begin();
  return () => { document.removeEventListener("visibilitychange", turned); end(); };
}
