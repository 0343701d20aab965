// The simulator's control API.

const BASE = "/simulator/api";

async function call(method, path, body, headers = { "Content-Type": "application/json" }) {
  const response = await fetch(BASE + path, { method, headers, body }).catch(() => {
    throw new Error("The simulator cannot be reached. Try again in a moment.");
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error || `The simulator answered ${response.status}`);
  return answer;
}

const post = (path, body) => call("POST", path, JSON.stringify(body));

export const listPages = async () => (await call("GET", "/pages")).pages;
export const listPeople = async (page) => (await call("GET", `/pages/${page}/people`)).people;
export const addPerson = (page, person) => post(`/pages/${page}/people`, person);
export const write = (page, message) => post(`/pages/${page}/messages`, message);
export const tap = (page, postback) => post(`/pages/${page}/postbacks`, postback);
export const read = (page, psid) => post(`/pages/${page}/reads`, { psid });
export const react = (page, reaction) => post(`/pages/${page}/reactions`, reaction);

export async function upload(file) {
  return (await call("POST", "/uploads", file, { "Content-Type": file.type })).url;
}

export const events = (page, psid) => new EventSource(`${BASE}/pages/${page}/threads/${psid}/events`);
