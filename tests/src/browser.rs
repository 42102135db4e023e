//! A real headless Chromium, spoken to over its DevTools protocol.
//!
//! The protocol runs through two pipes, so that nothing but JSON is needed to speak it: no port, no web socket.

use std::{collections::VecDeque, env, path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use openssl::base64;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::{sleep, timeout},
};

/// More than an answer or a page takes, the browser's own start included.
const LIMIT: Duration = Duration::from_secs(60);

/// How often a condition on the page is looked at.
const POLL: Duration = Duration::from_millis(50);

/// Names that Chromium goes by.
const NAMES: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

/// Where Chromium is on this machine, if it is.
pub fn find() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .flat_map(|folder| NAMES.map(|name| folder.join(name)))
        .find(|program| program.is_file())
}

/// The browser with one page, gone when it is dropped.
#[derive(Debug)]
pub struct Browser {
    commands: ChildStdin,
    messages: BufReader<ChildStdout>,
    events: VecDeque<Value>,
    session: Option<String>,
    next_id: u64,
    // after the pipes: the process ends with them, or is killed; its profile goes last
    _child: Child,
    _profile: TempDir,
}

impl Browser {
    /// Starts Chromium, as wide and high as told, in a light or a dark scheme.
    pub async fn start(width: u32, height: u32, is_dark: bool) -> Result<Self> {
        let program = find().context("there is no Chromium on this machine")?;
        let profile = tempfile::tempdir()?;
        // Chromium reads commands from its descriptor 3 and writes to 4
        let mut child = Command::new("sh")
            .args(["-c", r#"exec "$@" 3<&0 4>&1 </dev/null >/dev/null"#, "sh"])
            .arg(program)
            .args([
                "--headless=new",
                "--remote-debugging-pipe",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
            ])
            .args([
                "--no-first-run",
                "--disable-extensions",
                "--disable-background-networking",
                "--disable-component-update",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let mut browser = Self {
            commands: child.stdin.take().context("a pipe")?,
            messages: BufReader::new(child.stdout.take().context("a pipe")?),
            events: VecDeque::new(),
            session: None,
            next_id: 0,
            _child: child,
            _profile: profile,
        };
        let target = browser
            .call("Target.createTarget", json!({ "url": "about:blank" }))
            .await?;
        let attached = browser
            .call(
                "Target.attachToTarget",
                json!({ "targetId": target["targetId"], "flatten": true }),
            )
            .await?;
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({})).await?;
        }
        browser.emulate(width, height, is_dark).await?;
        Ok(browser)
    }

    /// Another width, height and scheme for what is opened from now on; a start takes a second of work.
    pub async fn emulate(&mut self, width: u32, height: u32, is_dark: bool) -> Result<()> {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", metrics)
            .await?;
        let scheme = if is_dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", media).await?;
        Ok(())
    }

    /// Opens `url` and waits until it is loaded.
    pub async fn open(&mut self, url: &str) -> Result<()> {
        let opened = self.call("Page.navigate", json!({ "url": url })).await?;
        ensure!(opened.get("errorText").is_none(), "{url}: {opened}");
        self.wait_until("document.readyState === 'complete'").await
    }

    /// The value of a JavaScript expression in the page.
    pub async fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let answer = self
            .call(
                "Runtime.evaluate",
                json!({ "expression": expression, "returnByValue": true, "awaitPromise": true }),
            )
            .await?;
        ensure!(
            answer.get("exceptionDetails").is_none(),
            "{expression}: {answer}"
        );
        Ok(answer["result"]["value"].clone())
    }

    /// Waits until a JavaScript expression is true.
    pub async fn wait_until(&mut self, condition: &str) -> Result<()> {
        let waiting = async {
            while self.evaluate(condition).await? != Value::Bool(true) {
                sleep(POLL).await;
            }
            anyhow::Ok(())
        };
        timeout(LIMIT, waiting)
            .await
            .with_context(|| format!("not within {LIMIT:?}: {condition}"))?
    }

    /// A picture of the page, PNG, from its top and as high as told.
    pub async fn screenshot(&mut self, width: u32, height: u32) -> Result<Vec<u8>> {
        let clip = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": 1 });
        let picture = self
            .call(
                "Page.captureScreenshot",
                json!({ "format": "png", "clip": clip, "captureBeyondViewport": true }),
            )
            .await?;
        Ok(base64::decode_block(
            picture["data"].as_str().context("no picture")?,
        )?)
    }

    /// The addresses that the page has asked for, in order.
    pub fn requests(&self) -> Vec<String> {
        self.of("Network.requestWillBeSent", "/params/request/url")
    }

    /// What the page, or the browser about it, has said on the console.
    pub fn complaints(&self) -> Vec<String> {
        let mut all = self.of("Runtime.exceptionThrown", "/params/exceptionDetails/text");
        all.extend(self.of("Log.entryAdded", "/params/entry/text"));
        all.extend(self.of("Runtime.consoleAPICalled", "/params/type"));
        all
    }

    fn of(&self, method: &str, pointer: &str) -> Vec<String> {
        self.events
            .iter()
            .filter(|event| event["method"] == method)
            .filter_map(|event| event.pointer(pointer)?.as_str().map(str::to_owned))
            .collect()
    }

    async fn call(&mut self, method: &str, parameters: Value) -> Result<Value> {
        timeout(LIMIT, self.exchange(method, parameters))
            .await
            .with_context(|| format!("{method}: no answer within {LIMIT:?}"))?
    }

    async fn exchange(&mut self, method: &str, parameters: Value) -> Result<Value> {
        self.next_id += 1;
        let id = self.next_id;
        let mut command = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            command["sessionId"] = session.as_str().into();
        }
        let mut bytes = command.to_string().into_bytes();
        bytes.push(0);
        self.commands.write_all(&bytes).await?;
        self.commands.flush().await?;
        loop {
            let mut bytes = Vec::new();
            self.messages.read_until(0, &mut bytes).await?;
            ensure!(bytes.pop() == Some(0), "Chromium ended");
            let message: Value = serde_json::from_slice(&bytes)?;
            if message["id"] != id {
                self.events.push_back(message);
                continue;
            }
            if let Some(error) = message.get("error") {
                bail!("{method}: {error}");
            }
            return Ok(message["result"].clone());
        }
    }
}
