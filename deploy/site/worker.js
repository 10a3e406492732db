// A page that is read from a folder (file:) may start no Worker, so the search runs in a frame of the page there.
if (location.protocol === "file:") {
  window.IFrameWorker = window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.waiting = [];
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.said = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      this.frame.onload = () => {
        this.ready = true;
        this.waiting.splice(0).forEach((data) => this.postMessage(data));
      };
      const answer = "<script>postMessage = (data) => frameElement.said(data)</script>";
      this.frame.srcdoc = `${answer}<script src="${new URL(url, document.baseURI)}"></script>`;
      document.documentElement.append(this.frame);
    }

    postMessage(data) {
      if (this.ready) {
        this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }));
      } else {
        this.waiting.push(data);
      }
    }
  };
}
