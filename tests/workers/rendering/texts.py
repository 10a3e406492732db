"""What a message's blocks say, by the kind of text: only mrkdwn is read as markup by Slack."""


def texts_of(part, *kinds):
    """The texts of these kinds, wherever they stand in blocks, in order."""
    if isinstance(part, list):
        return [text for each in part for text in texts_of(each, *kinds)]
    if not isinstance(part, dict):
        return []
    own = [part["text"]] if part.get("type") in kinds and isinstance(part.get("text"), str) else []
    return own + texts_of(list(part.values()), *kinds)
