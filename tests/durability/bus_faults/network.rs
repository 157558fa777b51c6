//! The network that the faults are made with.

use crate::support::proxy::Network;
use crate::support::wait_for;
use std::io::{Read as _, Write as _};
use std::time::Duration;

/// Sends a byte, and waits for the answer.
fn echo(stream: &mut std::net::TcpStream) -> std::io::Result<u8> {
    let mut byte = [0];
    stream.write_all(b"x")?;
    stream.read_exact(&mut byte)?;
    Ok(byte[0])
}

#[test]
fn a_network_is_cut_frozen_and_mended() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in server.incoming().map(Result::unwrap) {
            std::thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
        }
    });
    let network = Network::listen(1);
    network.lead_to([address.as_str()]);
    let connect = || {
        let stream = std::net::TcpStream::connect(network.address())?;
        stream.set_read_timeout(Some(Duration::from_millis(300)))?;
        Ok::<_, std::io::Error>(stream)
    };
    let mut early = connect().unwrap();
    early.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(echo(&mut early).unwrap(), b'x');

    network.freeze();
    early.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut late = connect().unwrap();
    for stream in [&mut early, &mut late] {
        let error = echo(stream).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}");
    }
    network.mend();
    for stream in [&mut early, &mut late] {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // What was held up comes first.
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        assert_eq!(echo(stream).unwrap(), b'x');
    }

    network.cut();
    let kind = |stream: &mut std::net::TcpStream| stream.read(&mut [0]).unwrap_err().kind();
    assert_eq!(kind(&mut early), std::io::ErrorKind::ConnectionReset);
    assert_eq!(kind(&mut late), std::io::ErrorKind::ConnectionReset);
    wait_for("connections to be refused", Duration::from_secs(20), || {
        connect().is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused).then_some(())
    });
    network.mend();
    let mut again = wait_for("the network to be mended", Duration::from_secs(20), || connect().ok());
    again.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(echo(&mut again).unwrap(), b'x');
}
