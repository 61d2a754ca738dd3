-- The demo's directory: sixty users, their devices, two groups, a topic. Times are seconds since 1970.

CREATE TABLE account (
    user_id INTEGER PRIMARY KEY,
    note TEXT NOT NULL,               -- what to expect, for the page
    logged_in INTEGER NOT NULL,
    push_status INTEGER NOT NULL,     -- 1 = may be told, 0 = do-not-disturb
    locale TEXT NOT NULL,
    time_zone TEXT,
    quiet_from TEXT,
    quiet_to TEXT
);
CREATE TABLE presence (user_id INTEGER PRIMARY KEY, last_seen INTEGER NOT NULL);
CREATE TABLE device (
    id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL,
    token TEXT NOT NULL UNIQUE,
    platform TEXT NOT NULL,
    app TEXT NOT NULL,
    removed INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX device_user ON device (user_id);
CREATE TABLE chat_group (group_id INTEGER PRIMARY KEY, owner_id INTEGER NOT NULL);
CREATE TABLE group_member (
    group_id INTEGER NOT NULL, user_id INTEGER NOT NULL, PRIMARY KEY (group_id, user_id)
) WITHOUT ROWID;
CREATE TABLE topic_follower (
    topic TEXT NOT NULL, user_id INTEGER NOT NULL, PRIMARY KEY (topic, user_id)
) WITHOUT ROWID;

-- Even users have an Android phone and read English, odd ones an iPhone and read Chinese; the exceptions follow.
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)
INSERT INTO account (user_id, note, logged_in, push_status, locale)
SELECT i, 'is told', 1, 1, CASE i % 2 WHEN 0 THEN 'en' ELSE 'zh' END FROM n;
INSERT INTO device (user_id, token, platform, app)
SELECT user_id, printf('%040x', 11184810 + user_id), 'android', 'higo' FROM account
WHERE (user_id % 2 = 0 OR user_id IN (1, 5)) AND user_id NOT IN (8, 42);
INSERT INTO device (user_id, token, platform, app)
SELECT user_id, printf('%064x', 12303291 + user_id), 'ios', 'higo' FROM account
WHERE (user_id % 2 = 1 OR user_id = 42) AND user_id <> 1;
-- Seen long ago, or never; user 2 is looking at the app as long as the demo runs.
INSERT INTO presence (user_id, last_seen) SELECT user_id, 1447212345 FROM account WHERE user_id <> 60;
UPDATE presence SET last_seen = 32503680000 WHERE user_id = 2;
UPDATE account SET push_status = 0 WHERE user_id = 3;
UPDATE account SET logged_in = 0 WHERE user_id = 4;

UPDATE account SET note = 'is told; Android' WHERE user_id = 1;
UPDATE account SET note = 'is online: sees it in the app, gets no push' WHERE user_id = 2;
UPDATE account SET note = 'do-not-disturb (push_status 0)' WHERE user_id = 3;
UPDATE account SET note = 'logged out' WHERE user_id = 4;
UPDATE account SET note = 'is told on two devices' WHERE user_id = 5;
UPDATE account SET note = 'has quiet hours now: is told when they end' WHERE user_id = 6;
UPDATE account SET note = 'took the app off: the first push finds the token dead' WHERE user_id = 7;
UPDATE account SET note = 'has no device' WHERE user_id = 8;
UPDATE account SET note = 'is told; iPhone' WHERE user_id = 42;

INSERT INTO chat_group (group_id, owner_id) VALUES (9, 1), (10, 42);
INSERT INTO group_member (group_id, user_id)
SELECT 9, user_id FROM account WHERE (user_id <= 20 AND user_id <> 7) OR user_id = 42;
INSERT INTO group_member (group_id, user_id) VALUES (10, 1), (10, 42);
INSERT INTO topic_follower (topic, user_id)
SELECT 'sale', user_id FROM account WHERE user_id IN (1, 2, 5, 42) OR user_id > 40;

PRAGMA user_version = 1;
