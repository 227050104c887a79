// The handler's second argument, with the names that AWS Lambda gave them in Node.

export class Context {
  #deadline;
  #leaving = null; // an AbortController, once somebody asks
  #left = false;

  constructor(told, meta) {
    this.#deadline = meta.deadline_ms;
    this.app = told.app;
    this.awsRequestId = meta.request_id;
    this.requestId = meta.request_id;
    this.traceparent = meta.traceparent; // W3C Trace Context: what spans of the function's own continue, or undefined
    this.tracestate = meta.tracestate;
    this.functionName = told.name;
    this.functionVersion = told.version;
    this.memoryLimitInMB = String(told.memory_bytes / 1048576);
    this.invokedFunctionArn = `ebb:${told.app}:${told.name}:${told.version}`;
    this.callbackWaitsForEmptyEventLoop = false; // an answer never waits for timers here
  }

  // Aborted when the client leaves, or the time is up, and the instance goes on for other calls: give it to fetch and the like.
  get signal() {
    this.#leaving ??= new AbortController();
    if (this.#left) this.#leaving.abort();
    return this.#leaving.signal;
  }

  abort() {
    this.#left = true;
    this.#leaving?.abort();
  }

  // Until the invocation is ended by its timeout; never below 0.
  getRemainingTimeInMillis() {
    return Math.max(0, this.#deadline - Date.now());
  }
}
