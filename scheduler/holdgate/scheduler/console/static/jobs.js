// Follows a job that has not ended: at each change the page asks for what is new of it. Without this the page is as it
// was when it was loaded.
"use strict";
(() => {
  const box = document.querySelector("[data-follow]");
  if (!box || !window.EventSource || !window.htmx) return;
  const ends = new Set(box.dataset.ends.split(" "));
  const source = new EventSource(box.dataset.follow);
  let told = box.dataset.state;
  source.addEventListener("state", (event) => {
    const job = JSON.parse(event.data);
    const now = job.state === box.dataset.state && job.attempt === Number(box.dataset.attempt) ? box.dataset.state : event.data;
    // Closed here: after the last state the server ends the stream, which would be taken for a failure.
    if (ends.has(job.state)) source.close();
    if (now === told) return;
    told = now;
    const shown = document.querySelector("#actions [data-can]");
    const query = `?shown=${encodeURIComponent(shown ? shown.dataset.can : "")}`;
    window.htmx.ajax("GET", box.dataset.live + query, { source: box, target: "#job", swap: "innerHTML" });
  });
  window.addEventListener("pagehide", () => source.close());
})();
