// Official clients (npm socket.io-client) against a server that echoes, as tests/support/chat.py has it.
// node chat_clients.cjs URL COUNT TRANSPORTS: prints {connected, acked, binary, upgraded, errors} as JSON.
const { io } = require("socket.io-client");

const [url, count, transports] = process.argv.slice(2);
const result = { connected: 0, acked: 0, binary: 0, upgraded: 0, errors: [] };

function once(emitter, event, seconds) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${event} within ${seconds} s`)), seconds * 1000);
    emitter.once(event, (...args) => {
      clearTimeout(timer);
      resolve(args);
    });
  });
}

function acked(socket, event, ...args) {
  return new Promise((resolve, reject) => {
    socket.timeout(10000).emit(event, ...args, (error, ...answer) => (error ? reject(error) : resolve(answer)));
  });
}

async function run(number) {
  const socket = io(url, { transports: transports.split(","), forceNew: true, reconnection: false });
  socket.on("connect_error", (error) => result.errors.push(`${number}: ${error.message}`));
  socket.on("disconnect", (reason) => reason === "io client disconnect" || result.errors.push(`${number}: ${reason}`));
  await once(socket, "connect", 20);
  result.connected++;
  const engine = socket.io.engine;
  const upgrades = transports === "polling,websocket" && engine.transport.name === "polling";
  const upgrade = upgrades ? once(engine, "upgrade", 20) : undefined;
  for (let round = 0; round < 20; round++) {
    const [first, second] = await acked(socket, "message", number, round);
    if (first === number && second === round) result.acked++;
  }
  await upgrade;
  if (engine.transport.name === "websocket") result.upgraded++;
  const back = once(socket, "message-back", 10);
  socket.emit("message", { deep: [Buffer.from([number, 2, 3])] });
  const [{ deep }] = await back;
  if (Buffer.compare(Buffer.from(deep[0]), Buffer.from([number, 2, 3])) === 0) result.binary++;
  socket.disconnect();
}

const all = Array.from({ length: Number(count) }, (_, number) =>
  run(number).catch((error) => result.errors.push(`${number}: ${error.message}`)),
);
Promise.all(all).then(() => process.stdout.write(JSON.stringify(result), () => process.exit(0)));
