/** Work through items in order, a few at a time. `work(item)` must not reject. */
export class Queue {
  #work;
  #onIdle;
  #inFlight;
  #waiting = [];
  #running = 0;
  #paused = false;

  constructor(work, { inFlight, onIdle }) {
    this.#work = work;
    this.#onIdle = onIdle;
    this.#inFlight = inFlight;
  }

  add(items) {
    this.#waiting.push(...items);
    this.#fill();
  }

  /** Stop, and take this item again first after `resume`. */
  pauseWith(item) {
    this.#paused = true;
    this.#waiting.unshift(item);
  }

  resume() {
    this.#paused = false;
    this.#fill();
  }

  clear() {
    this.#waiting = [];
  }

  #fill() {
    while (!this.#paused && this.#running < this.#inFlight && this.#waiting.length) {
      this.#running += 1;
      this.#work(this.#waiting.shift()).finally(() => {
        this.#running -= 1;
        this.#fill();
        if (!this.#running && !this.#waiting.length) this.#onIdle();
      });
    }
  }
}
