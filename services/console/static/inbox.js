// What scripts add to the inbox.
"use strict";
