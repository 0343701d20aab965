"""The console's pages: plain forms and links, made smoother by htmx where scripts run."""
