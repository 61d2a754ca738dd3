//! Which channel a device is told by: the first route of a lane whose conditions all hold. See docs/routes.md.

use homing_core::notification::{Environment, Platform};

/// One route. A condition that is left out holds always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// Only these types of events, by their codes; empty = any.
    pub types: Vec<i64>,
    /// Only devices of this platform.
    pub platform: Option<Platform>,
    /// Only devices of this app.
    pub app: Option<String>,
    /// Only devices of this network.
    pub environment: Option<Environment>,
    /// The way.
    pub channel: String,
    /// Other ways, in this order: when the device has no token for the first, when its token is dead there, or when the
    /// app's credentials are refused.
    pub fallback: Vec<String>,
}

impl Route {
    /// Is it for events of type `kind` to such a device?
    pub fn matches(&self, kind: i64, platform: Platform, app: &str, environment: Environment) -> bool {
        (self.types.is_empty() || self.types.contains(&kind))
            && self.platform.is_none_or(|own| own == platform)
            && self.app.as_deref().is_none_or(|own| own == app)
            && self.environment.is_none_or(|own| own == environment)
    }

    /// The channel and its fallbacks.
    pub fn ways(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.channel.as_str()).chain(self.fallback.iter().map(String::as_str))
    }
}

/// The routes of a lane, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes(Vec<Route>);

impl Routes {
    /// In this order.
    pub fn new(routes: Vec<Route>) -> Self {
        Self(routes)
    }

    /// None at all?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.0.iter()
    }

    /// The first that matches.
    pub fn find(&self, kind: i64, platform: Platform, app: &str, environment: Environment) -> Option<&Route> {
        self.0.iter().find(|route| route.matches(kind, platform, app, environment))
    }

    /// The channels for such a device, the best first; none where no route matches.
    pub fn ways(&self, kind: i64, platform: Platform, app: &str, environment: Environment) -> Vec<&str> {
        self.find(kind, platform, app, environment).map(|route| route.ways().collect()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(change: impl FnOnce(&mut Route)) -> Route {
        let mut route = Route { channel: "fcm".into(), ..Route::default() };
        change(&mut route);
        route
    }

    #[test]
    fn the_first_match_decides() {
        let routes = Routes::new(vec![
            route(|r| (r.types, r.channel) = (vec![1, 2], "mqtt".into())),
            route(|r| {
                (r.platform, r.environment) = (Some(Platform::Ios), Some(Environment::Development));
                (r.channel, r.fallback) = ("sandbox".into(), vec!["xinge".into()]);
            }),
            route(|r| (r.platform, r.channel) = (Some(Platform::Ios), "apns".into())),
            route(|r| (r.app, r.channel, r.fallback) = (Some("higirl".into()), "hms".into(), vec!["fcm".into()])),
        ]);
        let ways = |kind, platform, app, environment| routes.ways(kind, platform, app, environment).join(" ");
        assert_eq!(ways(2, Platform::Ios, "higo", Environment::Production), "mqtt", "in their order");
        assert_eq!(ways(7, Platform::Ios, "higo", Environment::Development), "sandbox xinge");
        assert_eq!(ways(7, Platform::Ios, "higirl", Environment::Production), "apns");
        assert_eq!(ways(7, Platform::Android, "higirl", Environment::Production), "hms fcm");
        assert_eq!(ways(7, Platform::Android, "higo", Environment::Production), "", "no route is for it");
    }
}
