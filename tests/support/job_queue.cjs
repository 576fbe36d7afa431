// The official client (npm bullmq) on queues of airnode.
// node job_queue.cjs SOCKET DB PREFIX QUEUE: prints what it sees of the queue, enqueues a job for airnode, and works one
// of airnode's in the queue "node". Prints JSON: {counts, jobs, children, answer, metrics}.
const { FlowProducer, Queue, QueueEvents, Worker } = require("bullmq");

const [path, db, prefix, name] = process.argv.slice(2);
const options = { prefix, connection: { path, db: Number(db), maxRetriesPerRequest: null } };

function shown(job) {
  const { id, data, progress, returnvalue, failedReason, stacktrace, attemptsMade, opts, parent } = job;
  return { id, name: job.name, data, progress, returnvalue, failedReason, stacktrace, attemptsMade, opts, parent };
}

async function main() {
  const queue = new Queue(name, options);
  const events = new QueueEvents(name, options);
  await events.waitUntilReady();
  const jobs = await queue.getJobs(["completed", "failed", "waiting-children"]);
  const flow = await new FlowProducer(options).getFlow({ id: "parent", queueName: name, prefix });
  const job = await queue.add("echo", { from: "node" }, { attempts: 2, removeOnComplete: { count: 5 } });
  const answer = await job.waitUntilFinished(events, 20000);
  const worked = await new Promise((resolve) => {
    const worker = new Worker("node", async (each) => ({ node: each.data }), options);
    worker.on("completed", (each, value) => resolve({ id: each.id, value }));
  });
  const found = {
    counts: await queue.getJobCounts(),
    jobs: jobs.map(shown),
    children: flow.children.map((each) => each.job.id).sort(),
    answer,
    worked,
    perMinute: (await queue.getMetrics("completed")).meta.count,
  };
  console.log(JSON.stringify(found));
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
