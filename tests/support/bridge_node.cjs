// A Node.js server with the Redis adapter, and clients of it and of airnode: node bridge_node.cjs REDIS_SOCKET AIRNODE_URL AIRNODE_URL
// Prints {check: true or what was wrong} as JSON.
const { createServer } = require("node:http");
const { Server } = require("socket.io");
const { createAdapter } = require("@socket.io/redis-adapter");
const { createClient } = require("redis");
const { io: connect } = require("socket.io-client");

const [redis, ...airnodes] = process.argv.slice(2);
const checks = {};
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(holds) {
  for (let waited = 0; waited < 5000; waited += 10) {
    if (holds()) return true;
    await pause(10);
  }
  return false;
}

const count = (client, event) => client.got.filter(([name]) => name === event).length;

async function client(url) {
  const socket = connect(url, { forceNew: true, transports: ["websocket"], reconnection: false });
  socket.got = [];
  socket.onAny((name, ...args) => {
    const ack = typeof args.at(-1) === "function" ? args.pop() : undefined;
    socket.got.push([name, ...args]);
    if (name === "question") ack?.(`answer of ${socket.id}`);
  });
  await new Promise((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("connect_error", reject);
  });
  await socket.timeout(5000).emitWithAck("joinRoom", "shared");
  return socket;
}

async function everyone(clients, event, expected = 1) {
  await until(() => clients.every((each) => count(each, event) >= expected));
  await pause(150); // whatever comes twice has come by then
  const counts = clients.map((each) => count(each, event));
  return counts.every((each) => each === expected) || counts;
}

async function main() {
  const publisher = createClient({ socket: { path: redis } });
  const subscriber = publisher.duplicate();
  await Promise.all([publisher.connect(), subscriber.connect()]);
  const http = createServer();
  const io = new Server(http, { adapter: createAdapter(publisher, subscriber) });
  io.on("connection", (socket) => {
    socket.on("joinRoom", async (room, ack) => {
      await socket.join(room);
      ack({ ok: true });
    });
  });
  await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));
  const far = await client(`http://127.0.0.1:${http.address().port}`);
  const [one, two] = await Promise.all(airnodes.map(client));
  const all = [far, one, two];
  const ours = [one, two];

  io.to("shared").emit("news", { a: [1, "다"] }, 2);
  checks.toAirnode = await everyone(all, "news");
  checks.arguments = JSON.stringify(one.got.find(([name]) => name === "news")) === '["news",{"a":[1,"다"]},2]';

  io.to("shared").emit("binary", { deep: Buffer.from([1, 2, 3]) });
  checks.binary = await everyone(all, "binary");
  const { deep } = one.got.find(([name]) => name === "binary")[1];
  checks.bytes = Buffer.isBuffer(deep) && deep.equals(Buffer.from([1, 2, 3]));

  await one.timeout(5000).emitWithAck("sendMessage", "shared", { content: "hello", type: "text" });
  checks.fromAirnode = await everyone(all, "message");
  checks.message = far.got.find(([name]) => name === "message")[1].content === "hello";

  io.to("shared").except(two.id).emit("except");
  checks.except = (await everyone([far, one], "except")) && count(two, "except") === 0;
  io.to(two.id).emit("private");
  checks.toOne = (await everyone([two], "private")) && count(one, "private") === 0;
  io.emit("broadcast");
  checks.broadcast = await everyone(all, "broadcast");
  io.to(["shared", one.id]).emit("union");
  checks.union = await everyone(all, "union");

  const sockets = await io.in("shared").fetchSockets();
  checks.fetchSockets = JSON.stringify(sockets.map(({ id }) => id).sort()) === JSON.stringify(all.map(({ id }) => id).sort());
  checks.fetchedData = sockets.find(({ id }) => id === one.id).data.user.role === "student";
  checks.fetchedRooms = sockets.find(({ id }) => id === one.id).rooms.has("shared");
  const rooms = await io.of("/").adapter.allRooms();
  checks.allRooms = rooms.has("shared") && rooms.has(one.id);
  checks.sockets = (await io.of("/").adapter.sockets(new Set(["shared"]))).size === 1; // this server's own only

  io.in(one.id).socketsJoin("second");
  await pause(200);
  io.to("second").emit("joined");
  checks.socketsJoin = (await everyone([one], "joined")) && count(two, "joined") === 0;
  io.in(one.id).socketsLeave("second");
  await pause(200);
  io.to("second").emit("left");
  await pause(200);
  checks.socketsLeave = count(one, "left") === 0;

  const answers = await io.timeout(3000).to("shared").emitWithAck("question");
  checks.acknowledgements = JSON.stringify(answers.sort()) === JSON.stringify(all.map(({ id }) => `answer of ${id}`).sort());
  checks.serverSideEmit = (await io.serverSideEmitWithAck("anybody")).length === airnodes.length;

  io.in(two.id).disconnectSockets(true);
  checks.disconnectSockets = await until(() => two.disconnected);
  const leftOver = await io.in("shared").fetchSockets();
  checks.afterwards = leftOver.length === 2;
}

main()
  .catch((error) => (checks.error = String(error.stack)))
  .then(() => process.stdout.write(JSON.stringify(checks), () => process.exit(0)));
