// Bottender with its own server, and an action that does nothing.
const { MessengerBot } = require("bottender");
const { createServer } = require("@bottender/express");

const bot = new MessengerBot({
  accessToken: "none",
  appId: "1",
  appSecret: process.env.FACEBOOK_APP_SECRET,
  verifyToken: process.env.WEBHOOK_VERIFY_TOKEN,
  skipLegacyProfile: true, // else it would ask Meta who writes
});
bot.onEvent(async () => {});

const server = createServer(bot, { path: "/webhooks/messenger" });
server.get("/readyz", (_request, response) => response.send("ready"));
server.listen(Number(process.env.HTTP_PORT), "127.0.0.1");
