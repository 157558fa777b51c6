//! A network between clients and servers that can be cut, or swallow everything.
//!
//! Each server has a TCP proxy before it. What a freeze holds up arrives late, at [`Network::mend`], as it does
//! where packets are sent again until they come through.

use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;

const BACKLOG: u32 = 1_024;

/// The proxies of a cluster, one for each node in their order, on a thread of their own.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) proxies: Vec<Proxy>,
    runtime: Option<Runtime>,
}

/// The way to one server.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// Where clients connect.
    pub(crate) address: SocketAddr,
    target: watch::Sender<Option<SocketAddr>>,
    weather: watch::Sender<Weather>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    /// Bytes pass.
    Fair,
    /// Connections are accepted and stay, and no byte passes.
    Frozen,
    /// Connections are reset, new ones refused.
    Cut,
}

impl Network {
    /// Listens with so many proxies, which lead nowhere yet.
    pub(crate) fn listen(count: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let proxies = (0..count).map(|_| Proxy::listen(&runtime)).collect();
        Self { proxies, runtime: Some(runtime) }
    }

    /// Where each proxy leads to: `host:port`.
    pub(crate) fn lead_to<'a>(&self, targets: impl IntoIterator<Item = &'a str>) {
        for (proxy, target) in self.proxies.iter().zip(targets) {
            proxy.target.send_replace(Some(target.parse().expect("an address")));
        }
    }

    /// The proxies' addresses, separated by commas.
    pub(crate) fn address(&self) -> String {
        self.proxies.iter().map(|proxy| proxy.address.to_string()).collect::<Vec<_>>().join(",")
    }

    /// The proxies' ports, separated by commas.
    pub(crate) fn ports(&self) -> String {
        self.proxies.iter().map(|proxy| proxy.address.port().to_string()).collect::<Vec<_>>().join(",")
    }

    /// Resets all connections and refuses new ones.
    pub(crate) fn cut(&self) {
        self.proxies.iter().for_each(Proxy::cut);
    }

    /// Swallows everything, and accepts connections all the same.
    pub(crate) fn freeze(&self) {
        self.proxies.iter().for_each(Proxy::freeze);
    }

    /// Lets everything pass, and what a freeze held up first.
    pub(crate) fn mend(&self) {
        self.proxies.iter().for_each(Proxy::mend);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // Not by waiting for it, which an asynchronous test mustn't.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Proxy {
    fn listen(runtime: &Runtime) -> Self {
        let listener = runtime.block_on(async { bind("127.0.0.1:0".parse().unwrap()).listen(BACKLOG).unwrap() });
        let (target, weather) = (watch::Sender::new(None), watch::Sender::new(Weather::Fair));
        let address = listener.local_addr().unwrap();
        runtime.spawn(serve(listener, target.subscribe(), weather.subscribe()));
        Self { address, target, weather }
    }

    /// See [`Network::cut`].
    pub(crate) fn cut(&self) {
        self.weather.send_replace(Weather::Cut);
    }

    /// See [`Network::freeze`].
    pub(crate) fn freeze(&self) {
        self.weather.send_replace(Weather::Frozen);
    }

    /// See [`Network::mend`].
    pub(crate) fn mend(&self) {
        self.weather.send_replace(Weather::Fair);
    }
}

/// Not listening yet: connections are refused, and nobody else is given the port.
fn bind(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

/// Until the [`Network`] is dropped.
async fn serve(
    mut listener: TcpListener,
    target: watch::Receiver<Option<SocketAddr>>,
    mut weather: watch::Receiver<Weather>,
) {
    let (address, mut cut) = (listener.local_addr().unwrap(), weather.clone());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    connections.spawn(connection(client, target.clone(), weather.clone()));
                }
            }
            // Those that ended are forgotten.
            Some(_) = connections.join_next() => {}
            _ = until(&mut cut, &[Weather::Cut]) => {
                drop(listener);
                let socket = bind(address);
                if !until(&mut weather, &[Weather::Fair, Weather::Frozen]).await {
                    return;
                }
                listener = socket.listen(BACKLOG).unwrap();
            }
        }
    }
}

async fn connection(
    mut client: TcpStream,
    target: watch::Receiver<Option<SocketAddr>>,
    mut weather: watch::Receiver<Weather>,
) {
    let mut cut = weather.clone();
    let server = tokio::select! {
        server = reach(target, &mut weather) => server,
        _ = until(&mut cut, &[Weather::Cut]) => None,
    };
    let Some(mut server) = server else {
        client.set_zero_linger().ok();
        return;
    };
    client.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    let in_order = {
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let there = pass(from_client, to_server, weather.clone());
        let back = pass(from_server, to_client, weather);
        tokio::select! {
            passed = async { tokio::try_join!(there, back) } => passed.is_ok(),
            _ = until(&mut cut, &[Weather::Cut]) => false,
        }
    };
    if !in_order {
        // Dropped so, a connection is reset.
        client.set_zero_linger().ok();
        server.set_zero_linger().ok();
    }
}

async fn reach(
    mut target: watch::Receiver<Option<SocketAddr>>,
    weather: &mut watch::Receiver<Weather>,
) -> Option<TcpStream> {
    until(weather, &[Weather::Fair]).await.then_some(())?;
    let target = (*target.wait_for(Option::is_some).await.ok()?)?;
    TcpStream::connect(target).await.ok()
}

/// Waits for one of these; not if the [`Network`] is gone.
async fn until(weather: &mut watch::Receiver<Weather>, wanted: &[Weather]) -> bool {
    weather.wait_for(|weather| wanted.contains(weather)).await.is_ok()
}

/// Hands on what comes, and its end, whenever the weather is fair.
async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut weather: watch::Receiver<Weather>,
) -> std::io::Result<()> {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let count = from.read(&mut bytes).await?;
        if !until(&mut weather, &[Weather::Fair]).await {
            return Ok(());
        }
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&bytes[..count]).await?;
    }
}
