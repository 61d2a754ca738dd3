//! Which way a device is told: its tokens, the route that fits it, and its part in a migration. Pure.
//!
//! Rows of one user with the same `device` are one device: it is told once, by the first way that it has a token for, and
//! the other ways go along as alternates.

use homing_core::{
    catalogue::PushType,
    event::{Audience, Device},
    lookup::Row,
    notification::{Alternate, Arm, Cohort, Environment, Platform},
};

use super::{Delivery, DeliveryCodec, Lane};
use crate::migration::Running;

/// One token of a device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) token: &'a str,
    pub(super) platform: Platform,
    pub(super) app: &'a str,
    pub(super) environment: Environment,
    /// The channel that it is for; without it, any.
    channel: Option<&'a str>,
    /// Which device it is of, where that has several.
    device: Option<&'a str>,
    /// The app is in the foreground.
    focus: bool,
    /// The user's data is to be removed once something was sent.
    clean: bool,
}

impl<'a> Token<'a> {
    /// A row of the devices' lookup: `None` without token or app, or of a platform that is not known.
    fn read(row: &'a Row) -> Option<Self> {
        let (mut token, mut platform, mut app, mut environment) = ("", None, "", None);
        let (mut channel, mut device, mut focus, mut clean) = (None, None, false, false);
        for (column, value) in row {
            let value = value.as_str();
            match column.as_str() {
                "token" => token = value,
                "platform" => platform = Platform::parse(value),
                "app" => app = value,
                "env" => environment = Environment::parse(value),
                "channel" => channel = Some(value).filter(|name| !name.is_empty()),
                "device" => device = Some(value).filter(|id| !id.is_empty()),
                "focus" => focus = truthy(value),
                "clean" => clean = truthy(value),
                _ => {}
            }
        }
        if token.is_empty() || app.is_empty() {
            return None;
        }
        let (platform, environment) = (platform?, environment.unwrap_or_default());
        Some(Self { token, platform, app, environment, channel, device, focus, clean })
    }

    /// A device that an event names.
    pub(super) fn named(device: &'a Device) -> Self {
        Self {
            token: &device.token,
            platform: device.platform,
            app: &device.app,
            environment: device.environment,
            channel: device.channel.as_deref(),
            device: None,
            focus: false,
            clean: false,
        }
    }

    /// Can it be used by this way?
    fn serves(&self, way: &str) -> bool {
        self.channel.is_none_or(|own| own == way)
    }

    fn is_of(&self, other: &Self) -> bool {
        self.device == other.device && self.app == other.app
    }
}

/// `0`, `false` and nothing are not true.
fn truthy(value: &str) -> bool {
    !(value.is_empty() || value == "0" || value.eq_ignore_ascii_case("false"))
}

/// Visits every device of a user, all tokens of it at once, until the visitor says that it was enough. Only of this app, if
/// one is named.
pub(super) fn each_device<'a>(rows: &'a [Row], app: Option<&str>, mut visit: impl FnMut(&[Token<'a>]) -> Go) {
    let fits = |token: &Token<'_>| app.is_none_or(|app| app == token.app);
    for (i, row) in rows.iter().enumerate() {
        let Some(token) = Token::read(row).filter(fits) else { continue };
        let go = if token.device.is_none() {
            visit(std::slice::from_ref(&token))
        } else {
            let same = |row: &'a Row| Token::read(row).filter(|other| other.is_of(&token));
            if rows.iter().take(i).any(|row| same(row).is_some()) {
                continue;
            }
            let tokens: Vec<Token<'a>> = rows.iter().skip(i).filter_map(same).collect();
            visit(&tokens)
        };
        if go == Go::Enough {
            break;
        }
    }
}

/// Is another device wanted?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Go {
    On,
    Enough,
}

/// How a device is told.
pub(super) struct Way<'a> {
    pub(super) channel: &'a str,
    pub(super) delivery: &'a Delivery,
    pub(super) token: Token<'a>,
    pub(super) alternates: Vec<Alternate>,
    /// Its side of a migration.
    pub(super) part: Option<(&'a str, Arm)>,
    /// A copy is rehearsed.
    pub(super) rehearsal: Option<Rehearsal<'a>>,
}

/// By this channel, in these lists, with this token.
type Rehearsal<'a> = (&'a str, &'a Delivery, Token<'a>);

/// Chooses for the devices of a lane, with the migrations as they are now.
pub(super) struct Chooser<'a> {
    lane: &'a Lane,
    running: Vec<Running<'a>>,
}

impl<'a> Chooser<'a> {
    pub(super) fn new(lane: &'a Lane) -> Self {
        Self { lane, running: lane.migrations.running() }
    }

    /// The way for a device of `user`, which may be empty, and a type of events; `None` if there is none.
    pub(super) fn choose(&self, kind: i64, user: &str, tokens: &[Token<'a>]) -> Option<Way<'a>> {
        let lane = self.lane;
        if let [token] = tokens
            && lane.routes.is_empty()
            && self.running.is_empty()
        {
            let channel = token.channel.or_else(|| lane.only(token.platform))?;
            let delivery = lane.delivery(channel, token.platform)?;
            return Some(Way { channel, delivery, token: *token, alternates: Vec::new(), part: None, rehearsal: None });
        }
        let mut ways = self.ways(kind, tokens);
        let (part, rehearsal) = self.migrate(&mut ways, user, tokens).map_or((None, None), |(p, r)| (Some(p), r));
        let mut usable = ways.iter().filter_map(|way| {
            let own = tokens.iter().find(|token| token.channel == Some(*way));
            let token = own.or_else(|| tokens.iter().find(|token| token.channel.is_none()))?;
            Some((*way, token, lane.delivery(way, token.platform)?))
        });
        let (channel, token, delivery) = usable.next()?;
        // What goes another way later goes as it is: to the same platform and network, in items that our senders read.
        let same = |other: &Token<'_>, list: &Delivery| {
            other.platform == token.platform
                && other.environment == token.environment
                && list.codec == DeliveryCodec::Own
                && delivery.codec == DeliveryCodec::Own
        };
        let alternates = usable.filter(|(_, other, list)| same(other, list));
        let alternate =
            |(way, other, _): (&str, &Token<'_>, _)| Alternate { channel: way.into(), token: other.token.into() };
        let alternates = alternates.map(alternate).collect();
        Some(Way { channel, delivery, token: *token, alternates, part, rehearsal })
    }

    /// The route's channels, else the rows' own in their order, else the one that can only be meant. Each once.
    fn ways(&self, kind: i64, tokens: &[Token<'a>]) -> Vec<&'a str> {
        let Some(first) = tokens.first() else { return Vec::new() };
        let mut ways: Vec<&'a str> = Vec::new();
        let mut add = |way: &'a str| {
            if !ways.contains(&way) {
                ways.push(way);
            }
        };
        match self.lane.routes.find(kind, first.platform, first.app, first.environment) {
            Some(route) => route.ways().for_each(add),
            None => {
                tokens.iter().filter_map(|token| token.channel).for_each(&mut add);
                if ways.is_empty() {
                    ways.extend(self.lane.only(first.platform));
                }
            }
        }
        ways
    }

    /// The device's side of the first migration that is for it, and the rehearsal that it has there. Puts the side's
    /// channel first.
    fn migrate(
        &self,
        ways: &mut Vec<&'a str>,
        user: &str,
        tokens: &[Token<'a>],
    ) -> Option<((&'a str, Arm), Option<Rehearsal<'a>>)> {
        let first = tokens.first()?;
        let Running { migration, state } = self.running.iter().find(|Running { migration, .. }| {
            let (from, to) = (migration.from.as_str(), migration.to.as_str());
            migration.covers(first.platform, first.app, first.environment)
                && (ways.contains(&from) || ways.contains(&to))
                && tokens.iter().any(|token| token.serves(from))
        })?;
        let (from, to) = (migration.from.as_str(), migration.to.as_str());
        // A token that names no channel is one of the channel that is left behind, as all were.
        let target = tokens.iter().find(|token| token.channel == Some(to));
        let target = target.and_then(|token| Some((to, self.lane.delivery(to, token.platform)?, *token)));
        let target = target.filter(|(_, delivery, _)| delivery.codec == DeliveryCodec::Own);
        let place = migration.place(if user.is_empty() { first.token } else { user });
        let (arm, order) = match target {
            Some(_) if state.is_moved(place) => (Arm::New, [Some(to), Some(from)]),
            _ => (Arm::Old, [Some(from), None]),
        };
        let order = order.into_iter().flatten();
        ways.retain(|way| order.clone().all(|other| other != *way));
        ways.splice(..0, order);
        Some(((&migration.name, arm), target.filter(|_| state.is_rehearsed(place))))
    }

    /// Why there is no way for a device.
    pub(super) fn no_way(&self, kind: i64, tokens: &[Token<'a>]) -> String {
        let Some(first) = tokens.first() else { return "no device".to_owned() };
        let ways = self.ways(kind, tokens);
        let (platform, app) = (first.platform.name(), first.app);
        if ways.is_empty() {
            let lists: Vec<&str> = self.lane.deliveries.keys().map(String::as_str).collect();
            return format!("no route for {platform} devices of app {app}: the lane delivers by {}", lists.join(", "));
        }
        let listed = ways.iter().any(|way| self.lane.delivery(way, first.platform).is_some());
        let ways = ways.join(", ");
        if listed {
            format!("the device ({platform}, {app}) has no token for {ways}")
        } else {
            format!("the lane has no lists for {platform} devices by {ways}")
        }
    }
}

/// Is it a device that a message without any words would find in use?
pub(super) fn is_in_use(tokens: &[Token<'_>]) -> bool {
    tokens.iter().any(|token| token.focus)
}

/// Is the user's data to be removed once something was sent?
pub(super) fn is_to_be_cleaned(tokens: &[Token<'_>]) -> bool {
    tokens.iter().any(|token| token.clean)
}

impl Lane {
    /// The delivery lists of a channel, if there are any in this lane and they take such devices.
    pub(super) fn delivery(&self, channel: &str, platform: Platform) -> Option<&Delivery> {
        self.deliveries.get(channel).filter(|delivery| delivery.carries(platform))
    }

    /// The only channel of this lane that takes such devices.
    fn only(&self, platform: Platform) -> Option<&str> {
        let mut fitting = self.deliveries.iter().filter(|(_, delivery)| delivery.carries(platform));
        let (channel, _) = fitting.next()?;
        fitting.next().is_none().then_some(channel)
    }

    /// The live way that a key of the lane names, if there are lists for it.
    pub(super) fn live<'a>(&'a self, key: &'a Option<String>) -> Option<Live<'a>> {
        let channel = key.as_deref()?;
        let of = |platform| Some(Live { channel, delivery: self.delivery(channel, platform)?, platform });
        of(Platform::Mqtt).or_else(|| of(Platform::Socket))
    }

    /// The way and the token by which an audience is told at once, whoever belongs to it.
    pub(super) fn whole<'a>(&'a self, to: &Audience) -> Option<(Live<'a>, String)> {
        let live = self.live(&self.announce)?;
        match to {
            Audience::GroupMembers(group) => Some((live, format!("group/{group}"))),
            Audience::Everyone if live.platform == Platform::Socket => Some((live, "everyone".to_owned())),
            _ => None,
        }
    }

    /// Are the sockets of an audience told at once? Then nobody's own are told of it beside that.
    pub(super) fn broadcast(&self, to: &Audience) -> Option<Live<'_>> {
        self.whole(to).map(|(live, _)| live).filter(|live| live.platform == Platform::Socket)
    }

    /// Are there devices, or users without any, who are told by a way that wakes nobody?
    pub(super) fn has_live(&self) -> bool {
        self.otherwise.is_some()
            || self.deliveries.values().any(|delivery| delivery.platforms.iter().any(|platform| platform.is_live()))
    }
}

/// A way that wakes nobody, for those who have no device there.
#[derive(Clone, Copy)]
pub(super) struct Live<'a> {
    pub(super) channel: &'a str,
    pub(super) delivery: &'a Delivery,
    pub(super) platform: Platform,
}

impl Delivery {
    /// Does it take devices of this platform?
    pub fn carries(&self, platform: Platform) -> bool {
        self.platforms.is_empty() || self.platforms.contains(&platform)
    }
}

/// How one device of a user would be told now, for explain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The end of its token.
    pub token: String,
    /// Its platform.
    pub platform: Platform,
    /// Its app.
    pub app: String,
    /// Its network.
    pub environment: Environment,
    /// The way; or why there is none.
    pub channel: Result<String, String>,
    /// Other ways, for when the token is dead there or the credentials are refused.
    pub fallback: Vec<String>,
    /// Its side of a migration.
    pub cohort: Option<Cohort>,
}

/// How every device in `rows`, those of `user`, would be told of a message of type `kind` now: one entry per device,
/// however many tokens it has. Rules are not asked, and without a type the routes for certain types are passed over.
pub fn ways(lane: &Lane, kind: Option<&PushType>, user: &str, app: Option<&str>, rows: &[Row]) -> Vec<Told> {
    let (chooser, code) = (Chooser::new(lane), kind.map_or(i64::MIN, |kind| kind.code));
    let mut told = Vec::new();
    each_device(rows, app, |tokens| {
        let way = chooser.choose(code, user, tokens);
        let Some(token) = way.as_ref().map(|way| way.token).or(tokens.first().copied()) else { return Go::On };
        let tail = token.token.char_indices().rev().nth(3).map_or(0, |(i, _)| i);
        let in_use = kind.is_some_and(|kind| kind.silent) && !token.platform.is_live() && is_in_use(tokens);
        let part = way.as_ref().and_then(|way| way.part);
        told.push(Told {
            token: format!("..{}", token.token.get(tail..).unwrap_or_default()),
            platform: token.platform,
            app: token.app.to_owned(),
            environment: token.environment,
            channel: match &way {
                Some(_) if in_use => Err(IN_USE.to_owned()),
                Some(way) => Ok(way.channel.to_owned()),
                None => Err(chooser.no_way(code, tokens)),
            },
            fallback: way.iter().flat_map(|way| &way.alternates).map(|other| other.channel.clone()).collect(),
            cohort: part.map(|(migration, arm)| Cohort { migration: migration.to_owned(), arm }),
        });
        Go::On
    });
    told
}

/// Why a device gets no message without words.
pub(super) const IN_USE: &str = "the app is in use, and the message shows nothing";
