/* Search runs in a web worker. A browser refuses one to a page that was opened from a disk; there, a hidden frame stands
   in for it. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.append(frame)
      const scope = frame.contentWindow
      const load = source =>
        new Promise((loaded, failed) => {
          const script = scope.document.createElement("script")
          script.onload = loaded
          script.onerror = failed
          script.src = source
          scope.document.body.append(script)
        })
      scope.importScripts = (...sources) => sources.reduce((before, source) => before.then(() => load(source)), Promise.resolve())
      scope.postMessage = data => {
        const message = new MessageEvent("message", { data })
        this.dispatchEvent(message)
        if (this.onmessage) this.onmessage(message)
      }
      this.terminate = () => frame.remove()
      this.ready = load(url)
      this.postMessage = data => this.ready.then(() => scope.dispatchEvent(new scope.MessageEvent("message", { data })))
    }
  }
}
