//! A session that does what its client says, one command per message, and tells what happens to it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use homing_core::live::{Position, Stream};
use homing_gateway::{
    desk::{Callback, Reply},
    parcel::{Dialect, Parcel, Payload},
    session::{Close, Link, Move, Poll, PollReply, PollRequest, Session, SessionKey, Socket},
    topic::{Room, Topic},
};

use super::Log;

pub struct Puppet {
    pub dialect: Dialect,
    pub log: Log,
    /// It goes on without a socket.
    pub stays: bool,
}

impl Puppet {
    pub fn boxed(log: &Log) -> Box<Self> {
        Box::new(Self { dialect: Dialect::Plain, log: log.clone(), stays: false })
    }
}

fn say(link: &mut dyn Link, socket: Socket, text: impl Into<String>) {
    link.write(socket, &Payload::Text(Bytes::from(text.into())));
}

pub fn room(name: &str) -> Topic {
    Topic::Room("/".into(), Room::Name(name.into()))
}

fn topic(word: &str) -> Topic {
    Stream::parse(word).map_or_else(|| room(word), Topic::Stream)
}

pub fn key_text(key: SessionKey) -> String {
    format!("{}.{}.{}", key.shard, key.slot, key.generation)
}

pub fn key_of(text: &str) -> SessionKey {
    let mut parts = text.split('.');
    let mut next = || parts.next().unwrap().parse::<u32>().unwrap();
    SessionKey { shard: next() as u16, slot: next(), generation: next() }
}

impl Session for Puppet {
    fn dialect(&self) -> Dialect {
        self.dialect
    }

    fn open(&mut self, link: &mut dyn Link) {
        let key = key_text(link.key());
        self.log.add(format!("open {key}"));
        say(link, Socket::Main, format!("open {key}"));
    }

    fn message(&mut self, link: &mut dyn Link, socket: Socket, payload: Payload) {
        let Payload::Text(text) = payload else { return };
        let text = std::str::from_utf8(&text).unwrap().to_owned();
        let words: Vec<_> = text.split(' ').collect();
        match words[0] {
            "join" => words[1..].iter().for_each(|word| link.join(topic(word))),
            "leave" => words[1..].iter().for_each(|word| link.leave(&topic(word))),
            "rooms" => {
                let mut rooms: Vec<_> = link.rooms().iter().map(|room| format!("{room:?}")).collect();
                rooms.sort();
                return say(link, socket, rooms.len().to_string());
            }
            "hold" => link.hold(),
            "live" => {
                let places = words[1..].chunks(3).map(|place| {
                    let position = Position { epoch: place[1].parse().unwrap(), offset: place[2].parse().unwrap() };
                    (Stream::parse(place[0]).unwrap(), position)
                });
                link.live(&places.collect::<Vec<_>>());
            }
            "direct" => link.direct(true),
            "indirect" => link.direct(false),
            "identify" => link.identify(words.get(1).map(|user| Arc::from(*user))),
            "wake" => link.wake_after(words.get(1).map(|time| Duration::from_millis(time.parse().unwrap()))),
            "ping" => {
                let number = link.ping();
                return say(link, socket, format!("pinged {number}"));
            }
            "answered" => {
                let answered = link.answered();
                return say(link, socket, format!("answered {answered}"));
            }
            "quiet" => {
                let quiet = link.now() - link.heard();
                return say(link, socket, quiet.to_string());
            }
            "promote" => {
                link.promote();
                return say(link, Socket::Main, "ok");
            }
            "drop" => link.drop_candidate(&Close::new(4000, "not wanted")),
            "close" => return link.close(Close::new(words[1].parse().unwrap(), "as told")),
            "panic" => panic!("as told"),
            "lines" => {
                for number in 0..words[1].parse::<usize>().unwrap() {
                    say(link, socket, format!("line {number} {}", "x".repeat(words[2].parse().unwrap())));
                }
                return;
            }
            "echo" => return say(link, socket, words[1..].join(" ")),
            other => panic!("no command {other}"),
        }
        say(link, socket, "ok");
    }

    fn offered(&mut self, link: &mut dyn Link, sid: &str) {
        say(link, Socket::Candidate, format!("offered {sid}"));
    }

    fn lost(&mut self, _: &mut dyn Link, socket: Socket) -> bool {
        self.log.add(format!("lost {socket:?}"));
        self.stays
    }

    fn deliver(&mut self, link: &mut dyn Link, parcel: &Arc<Parcel>, callback: Option<&Arc<Callback>>) {
        if let Some(callback) = callback {
            say(link, Socket::Main, format!("callback {}", callback.id));
        }
        link.send(parcel);
    }

    fn poll(&mut self, link: &mut dyn Link, poll: Poll) {
        if let PollRequest::Post { body, .. } = &poll.what {
            self.log.add(format!("post {}", String::from_utf8_lossy(body)));
            link.join(room("polled"));
        }
        poll.reply.send(PollReply { status: 200, body: Payload::Text(Bytes::from_static(b"ok")) }).unwrap();
    }

    fn wake(&mut self, link: &mut dyn Link) {
        say(link, Socket::Main, "woken");
    }

    fn reply(&mut self, link: &mut dyn Link, reply: Reply) {
        say(link, Socket::Main, format!("{reply:?}"));
    }

    fn broken(&mut self, link: &mut dyn Link, stream: &Stream) {
        say(link, Socket::Main, format!("broken {stream}"));
    }

    fn moved(&mut self, link: &mut dyn Link, step: &Move) {
        if let Move::Enter { namespace, room } = step {
            link.join(Topic::Room(namespace.clone(), room.clone()));
        }
        say(link, Socket::Main, "moved");
    }

    fn ended(&mut self, close: &Close) {
        self.log.add(format!("ended {}", close.code));
    }
}
