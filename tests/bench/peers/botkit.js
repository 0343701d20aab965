// Botkit with its Facebook adapter, and a handler that does nothing.
const { Botkit } = require("botkit");
const { FacebookAdapter, FacebookEventTypeMiddleware } = require("botbuilder-adapter-facebook");
const bodyParser = require("body-parser");
const express = require("express");

const adapter = new FacebookAdapter({
  access_token: "none",
  app_secret: process.env.FACEBOOK_APP_SECRET,
  verify_token: process.env.WEBHOOK_VERIFY_TOKEN,
});
adapter.use(new FacebookEventTypeMiddleware());

// what Botkit sets up by itself, but on the loopback interface
const webserver = express();
webserver.use((request, _response, next) => {
  request.rawBody = "";
  request.on("data", (chunk) => (request.rawBody += chunk));
  next();
});
webserver.use(bodyParser.json());
const controller = new Botkit({ adapter, webserver, webhook_uri: "/webhooks/messenger" });
controller.on("message", async () => {});

controller.ready(() => {
  webserver.get("/readyz", (_request, response) => response.send("ready"));
  webserver.listen(Number(process.env.HTTP_PORT), "127.0.0.1");
});
