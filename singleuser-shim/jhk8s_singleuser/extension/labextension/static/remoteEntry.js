// An extension of JupyterLab 4 and Notebook 7, written as the module-federation container that a
// build would make of it: there is nothing to build, and nothing from elsewhere.
(() => {
  'use strict';

  const NAME = '@jhk8s/singleuser';
  const AFTER_A_FAILURE_SECONDS = 30;
  const BESIDE_THE_LOGO = 1;
  // Of a notification, the lab shows no more.
  const SHOWN_CHARACTERS = 140;
  let shared;

  // One of the modules that JupyterLab shares, in the version that it has.
  async function load(name) {
    const [version] = Object.values(shared[name]);
    return (await version.get())();
  }

  // What the server's part has put into the page, as JSON; null where that is nothing.
  async function fromPage(name) {
    const { PageConfig } = await load('@jupyterlab/coreutils');
    return JSON.parse(PageConfig.getOption(name) || 'null');
  }

  // The label of the start spec, beside the logo and before the page's title. Its text is set as
  // text, and its looks as properties: neither can become markup.
  async function showLabel(app) {
    const label = await fromPage('jhk8sLabel');
    if (label === null) {
      return;
    }
    const { Widget } = await load('@lumino/widgets');
    const pill = document.createElement('span');
    pill.textContent = label.text;
    pill.title = label.text;
    pill.setAttribute('role', 'note');
    const color = label.text_color || 'var(--jp-ui-font-color1)';
    Object.assign(pill.style, {
      backgroundColor: label.color,
      border: `1px solid ${label.color || color}`,
      borderRadius: '4px',
      color,
      fontSize: 'var(--jp-ui-font-size1)',
      fontStyle: label.style.includes('italic') ? 'italic' : 'normal',
      fontWeight: label.style.includes('bold') ? 'bold' : 'normal',
      maxWidth: '25vw',
      overflow: 'hidden',
      padding: '1px 6px',
      textOverflow: 'ellipsis',
      whiteSpace: 'nowrap',
    });
    const widget = new Widget();
    widget.id = 'jhk8s-label';
    // Not all tops are as high, nor do all of them centre what they hold.
    Object.assign(widget.node.style, { alignItems: 'center', display: 'flex', padding: '0 4px' });
    widget.node.append(pill);
    app.shell.add(widget, 'top', { rank: BESIDE_THE_LOGO });

    // The lab names the open file in the title, anew each time. A tab that is narrow shows the
    // beginning.
    const title = document.querySelector('title');
    const prefix = `[${label.text}] `;
    function keepPrefix() {
      if (!title.textContent.startsWith(prefix)) {
        title.textContent = prefix + title.textContent;
      }
    }
    new MutationObserver(keepPrefix).observe(title, { characterData: true, childList: true });
    keepPrefix();
  }

  // What went wrong at the start, until the user has dismissed it.
  async function showNotices(app) {
    const notices = await fromPage('jhk8sNotices');
    if (notices === null) {
      return;
    }
    const { Notification, showDialog, Dialog } = await load('@jupyterlab/apputils');
    const { ServerConnection } = await load('@jupyterlab/services');
    const { Widget } = await load('@lumino/widgets');
    const settings = app.serviceManager.serverSettings;
    const text = notices.join('\n');

    function readAll() {
      const body = new Widget();
      for (const notice of notices) {
        const paragraph = document.createElement('p');
        paragraph.textContent = notice;
        body.node.append(paragraph);
      }
      const title = 'What went wrong when your server started';
      void showDialog({ title, body, buttons: [Dialog.okButton()] });
    }
    const read = { label: 'Read all', callback: readAll };
    // An action dismisses; the cross only hides the message, and the next page shows it again.
    const dismiss = { label: 'Dismiss', callback: () => {} };
    const actions = text.length > SHOWN_CHARACTERS ? [read, dismiss] : [dismiss];
    // What is said before the lab is complete does not pop up.
    await app.restored;
    const shown = Notification.warning(text, { autoClose: false, actions });
    Notification.manager.changed.connect((_, { type, notification }) => {
      if (type === 'removed' && notification.id === shown) {
        const url = `${settings.baseUrl}jhk8s/notices`;
        // Where it fails, the next page shows them again.
        ServerConnection.makeRequest(url, { method: 'DELETE' }, settings).catch(error =>
          console.debug(`${NAME}: ${error}`)
        );
      }
    });
  }

  function sentence(end) {
    const minutes = Math.max(1, Math.round(end.seconds / 60));
    const time = minutes === 1 ? 'a minute' : `${minutes} minutes`;
    return end.reason === 'idle'
      ? `Nobody has used this server for a while: it ends in about ${time}. Your files stay.`
      : `This server has run for long enough: it ends in about ${time}. Save your work.`;
  }

  // When the server ends by itself, from some time before it on.
  async function warnOfEnd(app) {
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
    await app.restored;
    void look();
  }

  // The lab waits for what activates its plugins; nothing here is worth that.
  function plugin(name, show) {
    const activate = app => {
      show(app).catch(error => console.error(`${NAME}:${name}: ${error}`));
    };
    return { id: `${NAME}:${name}`, autoStart: true, activate };
  }
  const plugins = [
    plugin('label', showLabel),
    plugin('notices', showNotices),
    plugin('end', warnOfEnd),
  ];

  globalThis._JUPYTERLAB = globalThis._JUPYTERLAB || {};
  globalThis._JUPYTERLAB[NAME] = {
    init: scope => {
      shared = scope;
    },
    get: async () => () => ({ __esModule: true, default: plugins }),
  };
})();
