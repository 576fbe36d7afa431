import { render } from "preact";
import "../styles/base.css";
import "../styles/stage.css";
import "../styles/class.css";
import "../styles/room.css";
import { LiveRoom } from "../live/room.ts";
import { exposeDebug } from "../live/debug.ts";
import { loadHls } from "../player/hls.ts";
import { liveSupported } from "../player/live.ts";
import { choice } from "../player/path.ts";
import { ClassApp } from "./app.tsx";
import { loadClient } from "../chat/connection.ts";
import { followKeyboard } from "../lib/keyboard.ts";
import { ClassVisit } from "./visit.ts";

// Load the script in parallel: where HLS plays, the first picture must not wait for it.
if (choice.path(performance.now()) === "hls" || !liveSupported()) void loadHls();

void loadClient().catch(() => undefined);
followKeyboard();
const room = new LiveRoom();
exposeDebug(room);
const root = document.getElementById("app");
if (root) render(<ClassApp visit={new ClassVisit(room)} />, root);
