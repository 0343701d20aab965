// Run by mongosh in the container mongodb-setup, at every `docker compose up`; safe to repeat.
// Makes the replica set of one, and the user that MONGODB_URI names with the password it names.
const fs = require("fs");
const { URL } = require("url");

const WITHIN_MS = 180_000;
const NOT_YET_INITIALIZED = 94;
const ALREADY_INITIALIZED = 23;

const secret = (name) => fs.readFileSync(`/run/secrets/${name}`, "utf8").trim();
const until = Date.now() + WITHIN_MS;

const app = new URL(secret("MONGODB_URI"));
const user = decodeURIComponent(app.username);
const pwd = decodeURIComponent(app.password);
const database = process.env.MONGODB_DATABASE || "messenger";
const root = encodeURIComponent(secret("MONGODB_ROOT_PASSWORD"));
const server = `mongodb://root:${root}@${app.host}/admin`;
const options = "directConnection=true&serverSelectionTimeoutMS=2000";

// The server may be making its files still: until then it listens to nobody else.
let admin = null;
while (admin === null) {
  try {
    admin = connect(`${server}?${options}`);
  } catch (error) {
    if (Date.now() > until) throw error;
    sleep(1000);
  }
}

try {
  admin.adminCommand({ replSetGetStatus: 1 });
} catch (error) {
  if (error.code !== NOT_YET_INITIALIZED) throw error;
  const members = [{ _id: 0, host: app.host }]; // the name by which clients are led to it
  try {
    admin.adminCommand({ replSetInitiate: { _id: "rs0", members } });
  } catch (refused) {
    if (refused.code !== ALREADY_INITIALIZED) throw refused;
  }
}

while (!admin.adminCommand({ hello: 1 }).isWritablePrimary) {
  if (Date.now() > until) throw new Error(`no primary within ${WITHIN_MS / 1000} s`);
  sleep(500);
}

const roles = [{ role: "readWrite", db: database }];
if (admin.getUser(user)) admin.updateUser(user, { pwd, roles });
else admin.createUser({ user, pwd, roles });
print(`replica set rs0 of ${app.host}; ${user} may read and write ${database}`);
