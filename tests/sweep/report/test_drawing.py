from sweep.report import drawing


def test_plain_leaves_plotly_nothing_to_read():
    assert drawing.plain("<b>&amp;</b>") == "&lt;b&gt;&amp;amp;&lt;/b&gt;"


def test_a_long_label_keeps_its_ends():
    assert drawing.short("a" * 40 + "/full", 11) == "aaaaa…/full"
