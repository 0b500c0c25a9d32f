// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What is wrong with the page as it is shown, as a list of lines.
(async () => {
    const faults = [];
    const width = document.documentElement.clientWidth;
    const describe = element => {
        const text = (element.alt || element.textContent || '').trim().replace(/\s+/g, ' ');
        const id = element.id ? `#${element.id}` : '';
        return `<${element.localName}${id}> “${text.slice(0, 60)}”`;
    };

    await document.fonts.ready;
    for (const picture of document.images) {
        picture.loading = 'eager';
        await picture.decode().catch(() => {});
        const {width: shown, height} = picture.getBoundingClientRect();
        const isVisible = picture.checkVisibility();
        if (picture.naturalWidth === 0 || picture.naturalHeight === 0)
            faults.push(`the picture ${picture.getAttribute('src')} is broken`);
        else if (isVisible && (shown < 1 || height < 1))
            faults.push(`the picture ${picture.getAttribute('src')} has no size`);
    }

    // Tables and diagrams that are too wide are scrolled by themselves.
    const mayScroll = element => element.matches('table, pre.diagram') &&
        ['auto', 'scroll'].includes(getComputedStyle(element).overflowX);
    const look = element => {
        if (!element.checkVisibility())
            return;
        const {left, right, width: own, height} = element.getBoundingClientRect();
        const style = getComputedStyle(element);
        const isSeen = own > 0 && height > 0 && style.position !== 'fixed';
        if (isSeen && (left < -1 || right > width + 1)) {
            faults.push(`${describe(element)} reaches from ${Math.round(left)} to ` +
                        `${Math.round(right)} pixels`);
            return;
        }
        if (mayScroll(element) || ['input', 'textarea'].includes(element.localName))
            return;
        const nFaults = faults.length;
        [...element.children].forEach(look);
        if (faults.length === nFaults && style.overflowX !== 'visible' &&
            element.clientWidth > 0 && element.scrollWidth > element.clientWidth + 1)
            faults.push(`${describe(element)} has ${element.scrollWidth} pixels in a box of ` +
                        `${element.clientWidth}`);
    };
    if (document.documentElement.scrollWidth > width)
        faults.push(`the page is ${document.documentElement.scrollWidth} pixels wide`);
    look(document.body);
    return faults;
})();
