//! Who a session's client is, and that it may become known, or known anew, while it is open.

use std::sync::Arc;

use homing_core::live::Stream;

use super::{
    client::Resume,
    frames,
    session::{PlainSession, State, Waiting, millis},
    settings::{Login, Settings, Subscribe},
};
use crate::{
    desk::Ask,
    identity::{Credentials, Identity, Verdict},
    session::{Link, Socket, code},
};

impl PlainSession {
    /// What the client showed was judged, for the first time. `asked` = by a frame, which is answered.
    pub(super) fn judged(&mut self, link: &mut dyn Link, verdict: Verdict, resume: Resume, asked: bool) {
        match verdict {
            Verdict::Known(identity) if self.settings().login == Login::Required && !asked => {
                self.wait(link, Some(identity), resume);
            }
            Verdict::Known(identity) => self.known(link, identity, resume, asked),
            Verdict::Missing if asked => self.close(link, code::UNAUTHORIZED, "a token is needed"),
            Verdict::Missing => self.wait(link, None, resume),
            Verdict::Refused(why) => self.close(link, code::UNAUTHORIZED, why),
            Verdict::Unavailable(why) => self.close(link, code::FULL, why),
        }
    }

    pub(super) fn wait(&mut self, link: &mut dyn Link, identity: Option<Identity>, resume: Resume) {
        let until = link.now().saturating_add(millis(self.settings().login_timeout));
        self.state = State::Waiting(Box::new(Waiting { until, identity, resume }));
        self.sleep(link);
    }

    pub(super) fn known(&mut self, link: &mut dyn Link, identity: Identity, resume: Resume, asked: bool) {
        let Identity { user, groups, expires_at } = identity;
        if expires_at.is_some_and(|at| self.ends(at)) {
            return self.close(link, code::EXPIRED, "the token has ended");
        }
        self.user = user;
        self.expires_at = expires_at;
        link.identify(self.user.clone());
        if asked {
            link.write(Socket::Main, &frames::login(self.user.as_deref()));
        }
        let place = |stream: Stream| {
            let at = resume.iter().find(|(known, _)| *known == stream).map(|(_, at)| *at);
            (stream, at)
        };
        let streams = self.own_streams(groups);
        self.attend(link, streams.into_iter().map(place).collect(), true);
        self.sleep(link);
    }

    /// A login frame.
    pub(super) fn login(&mut self, link: &mut dyn Link, token: Option<String>, resume: Resume) {
        match &mut self.state {
            State::Waiting(waiting) => {
                let resume = if resume.is_empty() { std::mem::take(&mut waiting.resume) } else { resume };
                match (waiting.identity.take(), token) {
                    (Some(identity), None) => self.known(link, identity, resume, true),
                    (_, token) => self.identify(link, Credentials { message: token, ..Credentials::default() }, resume),
                }
            }
            State::Asking { resume: kept, answer } => {
                *answer = true;
                if !resume.is_empty() {
                    **kept = resume;
                }
                if token.is_some() {
                    link.write(Socket::Main, &frames::error("token", "another one is being looked at"));
                }
            }
            State::Attending { .. } | State::Live => match token {
                None => link.write(Socket::Main, &frames::login(self.user.as_deref())),
                Some(token) => self.renew(link, token),
            },
            State::Fresh(_) | State::Over => {}
        }
    }

    /// Judges what a login frame showed.
    pub(super) fn identify(&mut self, link: &mut dyn Link, credentials: Credentials, resume: Resume) {
        match self.shared.auth.check(&credentials) {
            Some(verdict) => self.judged(link, verdict, resume, true),
            None => {
                self.state = State::Asking { resume: Box::new(resume), answer: true };
                link.ask(Ask::Identify(credentials));
            }
        }
    }

    /// A new token for a session that goes on.
    pub(super) fn renew(&mut self, link: &mut dyn Link, token: String) {
        if self.rare.as_ref().is_some_and(|rare| rare.renewing) {
            return link.write(Socket::Main, &frames::error("token", "another one is being looked at"));
        }
        let credentials = Credentials { message: Some(token), ..Credentials::default() };
        match self.shared.auth.check(&credentials) {
            Some(verdict) => self.renewed(link, verdict),
            None => {
                self.rare().renewing = true;
                link.ask(Ask::Identify(credentials));
            }
        }
    }

    pub(super) fn renewed(&mut self, link: &mut dyn Link, verdict: Verdict) {
        match verdict {
            Verdict::Known(identity) if identity.user == self.user => {
                self.expires_at = identity.expires_at;
                link.write(Socket::Main, &frames::login(self.user.as_deref()));
                self.sleep(link);
            }
            Verdict::Known(identity) if self.user.is_none() => self.became(link, identity),
            // Its streams are those of the first.
            Verdict::Known(_) => self.fault(link, "token", "is another user's: open another connection for it"),
            Verdict::Missing => self.fault(link, "token", "is missing"),
            Verdict::Refused(why) => self.fault(link, "token", &why),
            Verdict::Unavailable(why) => link.write(Socket::Main, &frames::error("token", &why)),
        }
    }

    /// Nobody in particular has become somebody: its own streams come to those that it follows.
    pub(super) fn became(&mut self, link: &mut dyn Link, identity: Identity) {
        let Identity { user, groups, expires_at } = identity;
        self.user = user;
        self.expires_at = expires_at;
        link.identify(self.user.clone());
        link.write(Socket::Main, &frames::login(self.user.as_deref()));
        let streams = self.own_streams(groups);
        let new = streams.into_iter().filter(|stream| !self.streams.iter().any(|(own, _)| own == stream));
        let new: Vec<_> = new.map(|stream| (stream, None)).collect();
        if matches!(self.state, State::Live) {
            self.attend(link, new, false);
        } else {
            self.rare().joining.extend(new);
        }
        self.sleep(link);
    }

    /// What a client follows by being who it is.
    pub(super) fn own_streams(&mut self, groups: Vec<Arc<str>>) -> Vec<Stream> {
        let Settings { everyone, join_groups, max_groups, subscribe, .. } = *self.settings();
        let user = self.user.iter().map(|user| Stream::User(Arc::clone(user)));
        let joined = groups.iter().take(if join_groups { max_groups } else { 0 });
        let streams =
            user.chain(everyone.then_some(Stream::Everyone)).chain(joined.cloned().map(Stream::Group)).collect();
        if subscribe == Subscribe::Claimed && !groups.is_empty() {
            self.rare().claimed = groups;
        }
        streams
    }
}
