OUTCOMES = ("ok", "bad_signature")
