// The local Slack's own endpoints, and the stream of news from it.

export async function read(path, query = {}) {
  const response = await fetch(`${path}?${new URLSearchParams(query)}`);
  return response.json();
}

export async function send(path, body) {
  try {
    const response = await fetch(path, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    return await response.json();
  } catch {
    return { ok: false, error: "unreachable" };
  }
}

// Calls `onEvent` for each piece of news; connects again when cut, and then calls `onBack` so that what was
// missed can be loaded. Returns a function that ends it.
export function listen(user, { onEvent, onOpen, onBack }) {
  let ended = false;
  let socket;
  let wait = 250;
  let before = false;
  const connect = () => {
    socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/sandbox/live?user=${encodeURIComponent(user)}`);
    socket.onmessage = (message) => onEvent(JSON.parse(message.data));
    socket.onopen = () => {
      wait = 250;
      if (before) onBack(); else onOpen?.();
      before = true;
    };
    socket.onclose = () => {
      if (ended) return;
      setTimeout(connect, wait);
      wait = Math.min(wait * 2, 5000);
    };
  };
  connect();
  return () => { ended = true; socket.close(); };
}
