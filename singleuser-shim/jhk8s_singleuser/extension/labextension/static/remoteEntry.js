// An extension of JupyterLab 4 and Notebook 7, written as the module-federation container that a
// build would make of it: there is nothing to build, and nothing from elsewhere.
(() => {
  'use strict';

  const NAME = '@jhk8s/singleuser';
  const AFTER_A_FAILURE_SECONDS = 30;
  let shared;

  // One of the modules that JupyterLab shares, in the version that it has.
  async function load(name) {
    const [version] = Object.values(shared[name]);
    return (await version.get())();
  }

  function sentence(end) {
    const minutes = Math.max(1, Math.round(end.seconds / 60));
    const time = minutes === 1 ? 'a minute' : `${minutes} minutes`;
    return end.reason === 'idle'
      ? `Nobody has used this server for a while: it ends in about ${time}. Your files stay.`
      : `This server has run for long enough: it ends in about ${time}. Save your work.`;
  }

  async function activate(app) {
    const { Notification } = await load('@jupyterlab/apputils');
    const { ServerConnection } = await load('@jupyterlab/services');
    const settings = app.serviceManager.serverSettings;
    const url = `${settings.baseUrl}jhk8s/end`;
    let shown = '';

    async function ask(method) {
      const response = await ServerConnection.makeRequest(url, { method }, settings);
      return response.ok ? response.json() : null;
    }

    function dismiss() {
      if (shown) {
        Notification.dismiss(shown);
        shown = '';
      }
    }

    function show(end) {
      if (!end.is_near) {
        dismiss();
        return;
      }
      const message = sentence(end);
      if (shown && Notification.manager.has(shown)) {
        Notification.update({ id: shown, message });
        return;
      }
      const keep = { label: 'Keep it running', callback: () => void ask('POST').then(dismiss) };
      const actions = end.can_be_kept ? [keep] : [];
      shown = Notification.warning(message, { autoClose: false, actions });
    }

    async function look() {
      let seconds = AFTER_A_FAILURE_SECONDS;
      try {
        const end = await ask('GET');
        // Without the server's part there is nothing to say.
        if (end === null) {
          return;
        }
        show(end);
        seconds = end.ask_again_seconds;
      } catch (error) {
        console.debug(`${NAME}: ${error}`);
      }
      setTimeout(look, 1000 * seconds);
    }
    void look();
  }

  const plugin = { id: `${NAME}:end`, autoStart: true, activate };

  globalThis._JUPYTERLAB = globalThis._JUPYTERLAB || {};
  globalThis._JUPYTERLAB[NAME] = {
    init: scope => {
      shared = scope;
    },
    get: async () => () => ({ __esModule: true, default: plugin }),
  };
})();
